/** What an ACME server says when it refuses, as problem documents (RFC 8555, section 6.7; RFC 9457). */
import { z } from "zod";

const URN_PREFIX = "urn:ietf:params:acme:error:";
const LONGEST_DETAIL = 500;

export const problemSchema = z.object({
  type: z.string().default("about:blank"),
  detail: z.string().default(""),
  subproblems: z
    .array(
      z.object({
        type: z.string().default("about:blank"),
        detail: z.string().default(""),
        identifier: z.object({ value: z.string() }).optional(),
      }),
    )
    .default([]),
});

export type Problem = z.output<typeof problemSchema>;

export interface AcmeErrorOptions {
  /** Without the `urn:ietf:params:acme:error:` in front, such as `rateLimited`; `connection` when there was no answer. */
  readonly kind: string;
  /** 0 when there was no answer. */
  readonly status?: number;
  /** The server asks to be left alone for so long. */
  readonly retryAfterMs?: number | undefined;
}

/** Getting a certificate failed. The message is one for the log: it says what was tried and what the server answered. */
export class AcmeError extends Error {
  override readonly name = "AcmeError";
  readonly kind: string;
  readonly status: number;
  readonly retryAfterMs: number | undefined;

  constructor(message: string, { kind, status = 0, retryAfterMs }: AcmeErrorOptions) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** `action` begins the sentence: `order for a.test`. */
export function refusal(action: string, problem: Problem, status: number, retryAfterMs?: number): AcmeError {
  const kind = kindOf(problem.type);
  const parts = problem.subproblems.map(
    ({ type, detail, identifier }) => `${identifier?.value ?? "?"}: ${kindOf(type)}: ${detail}`,
  );
  const detail = [problem.detail || `status ${status}`, ...parts].join("; ");
  return new AcmeError(`${action}: the authority refused (${kind}): ${plain(detail)}`, { kind, status, retryAfterMs });
}

/** Reads the body of an answer; one that is no problem document still gives a problem. */
export function parseProblem(body: string): Problem {
  try {
    return problemSchema.parse(JSON.parse(body));
  } catch {
    return { type: "about:blank", detail: "", subproblems: [] };
  }
}

function kindOf(type: string): string {
  return plain(type.startsWith(URN_PREFIX) ? type.slice(URN_PREFIX.length) : type);
}

/** The text is a stranger's: one line, of bounded length. */
function plain(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ").slice(0, LONGEST_DETAIL);
}
