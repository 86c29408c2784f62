/** One order, from the names to the certificate (RFC 8555, section 7.4). */
import { z } from "zod";
import type { PemPair } from "../self-signed.ts";
import { buildSigningRequest, generateKey, keyToPem } from "../x509.ts";
import type { Challenge, ChallengeResponder, ChallengeType } from "./challenges.ts";
import { AcmeError, problemSchema, refusal } from "./problem.ts";
import type { AcmeSession } from "./session.ts";

const orderSchema = z.object({
  status: z.enum(["pending", "ready", "processing", "valid", "invalid"]),
  authorizations: z.array(z.url()).max(1_000),
  finalize: z.url(),
  certificate: z.url().optional(),
  error: problemSchema.optional(),
});

const authorizationSchema = z.object({
  status: z.string(),
  identifier: z.object({ value: z.string() }),
  challenges: z.array(
    z.object({
      type: z.string(),
      url: z.url(),
      token: z
        .string()
        .regex(/^[A-Za-z0-9_-]+$/)
        .optional(),
      error: problemSchema.optional(),
    }),
  ),
});

type Order = z.output<typeof orderSchema>;
type Authorization = z.output<typeof authorizationSchema>;

interface OpenAuthorization {
  readonly url: string;
  readonly challengeUrl: string;
  readonly challenge: Challenge;
}

/**
 * Gets one certificate over all `names`, with a new key. The responder is told of every challenge before the authority is
 * asked to look, and told to forget it afterwards whatever comes of it. Throws an AcmeError that names what failed.
 */
export async function obtainCertificate(
  session: AcmeSession,
  names: readonly string[],
  type: ChallengeType,
  responder: ChallengeResponder,
): Promise<PemPair> {
  const action = `order for ${names.join(", ")}`;
  const { newOrder } = await session.directory();
  const identifiers = names.map((value) => ({ type: "dns", value }));
  const response = await session.post(action, newOrder, { identifiers });
  const orderUrl = response.header("location");
  const order = orderSchema.safeParse(parseJson(response.body));
  if (orderUrl === undefined || !order.success)
    throw new AcmeError(`${action}: the authority's answer is not an order`, { kind: "malformed" });
  await authorize(session, order.data, type, responder);
  return finalize(session, action, orderUrl, order.data, names);
}

async function authorize(
  session: AcmeSession,
  order: Order,
  type: ChallengeType,
  responder: ChallengeResponder,
): Promise<void> {
  const open: OpenAuthorization[] = [];
  for (const url of order.authorizations) {
    const authorization = await session.read(authorizationSchema, "authorization", url);
    // The authority may remember that a name is ours, from an order before.
    if (authorization.status !== "valid") open.push(openAuthorization(session, url, authorization, type));
  }
  const presented: Challenge[] = [];
  try {
    for (const { challenge } of open) {
      presented.push(challenge);
      await responder.present(challenge);
    }
    for (const { challenge, challengeUrl } of open) await session.post(actionOf(challenge), challengeUrl, {});
    for (const authorization of open) await settle(session, authorization);
  } finally {
    for (const challenge of presented) await responder.withdraw(challenge);
  }
}

function openAuthorization(
  session: AcmeSession,
  url: string,
  authorization: Authorization,
  type: ChallengeType,
): OpenAuthorization {
  const name = authorization.identifier.value;
  const offered = authorization.challenges.find((challenge) => challenge.type === type);
  if (authorization.status !== "pending" || offered?.token === undefined) {
    const kinds = authorization.challenges.map((challenge) => challenge.type).join(", ");
    throw new AcmeError(
      `${name}: the authority offers no ${type} challenge (status ${authorization.status}, ${kinds})`,
      {
        kind: "unsupportedChallenge",
      },
    );
  }
  const { token } = offered;
  const challenge = { type, name, token, keyAuthorization: session.keyAuthorization(token) };
  return { url, challengeUrl: offered.url, challenge };
}

async function settle(session: AcmeSession, { url, challenge }: OpenAuthorization): Promise<void> {
  const action = actionOf(challenge);
  const settled = await session.poll(authorizationSchema, action, url, ({ status }) => status !== "pending");
  if (settled.status === "valid") return;
  const error = settled.challenges.find(({ type }) => type === challenge.type)?.error;
  if (error !== undefined) throw refusal(action, error, 200);
  throw new AcmeError(`${action}: the authorization is ${settled.status}`, { kind: "unauthorized" });
}

async function finalize(
  session: AcmeSession,
  action: string,
  orderUrl: string,
  order: Order,
  names: readonly string[],
): Promise<PemPair> {
  const ready = await session.poll(orderSchema, action, orderUrl, ({ status }) => status !== "pending");
  checkOrder(action, ready);
  const key = generateKey();
  const csr = Buffer.from(buildSigningRequest({ names, key })).toString("base64url");
  await session.post(action, order.finalize, { csr });
  const done = await session.poll(
    orderSchema,
    action,
    orderUrl,
    ({ status }) => status === "valid" || status === "invalid",
  );
  checkOrder(action, done);
  if (done.certificate === undefined)
    throw new AcmeError(`${action}: the order is done but has no certificate`, { kind: "malformed" });
  const { body } = await session.post(action, done.certificate, undefined, "application/pem-certificate-chain");
  return { certificatePem: body, keyPem: keyToPem(key) };
}

function checkOrder(action: string, { status, error }: Order): void {
  if (status !== "invalid") return;
  if (error !== undefined) throw refusal(action, error, 200);
  throw new AcmeError(`${action}: the order has become invalid`, { kind: "unauthorized" });
}

function actionOf({ type, name }: Challenge): string {
  return `${type} challenge for ${name}`;
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
