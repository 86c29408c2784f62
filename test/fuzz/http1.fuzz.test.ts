/**
 * The HTTP/1.1 parser beside an independent one (reference-parser.ts): both must agree on what is accepted, where it ends
 * and what it means, and the pieces in which the bytes arrive must not matter. EVENKEEL_FUZZ_TIMES multiplies the number of inputs.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { RequestBody } from "../../src/http/request-body.ts";
import { ChunkedBody } from "../../src/protocols/http1/chunked.ts";
import { BAD, DONE, Head, MORE, type ParseResult } from "../../src/protocols/http1/head.ts";
import { inspectRequest, targetForm } from "../../src/protocols/http1/inspect-request.ts";
import { inspectResponse, responseFraming } from "../../src/protocols/http1/inspect-response.ts";
import { parseRequestHead } from "../../src/protocols/http1/parse-request.ts";
import { parseResponseHead } from "../../src/protocols/http1/parse-response.ts";
import {
  anyRequest,
  anyResponse,
  brokenChunks,
  chunks,
  cuts,
  type Generated,
  mutated,
  noise,
  placesOf,
  runs,
} from "./generators.ts";
import { type Outcome, type ReferenceMessage, readRequest, readResponse } from "./reference-parser.ts";

const LIMITS = { bytes: 65_536, fields: 6 };

type Seen = Omit<ReferenceMessage, "data">;
type Reader = (text: string, places: readonly number[]) => Seen;

const NOTHING = { headEnd: 0, minorVersion: 1, method: "", target: "", form: "bad", status: 0, headers: [] } as const;

function headOnly(head: Outcome): Seen {
  return { ...NOTHING, head, framing: "none", body: head, bodyEnd: 0 };
}

function parsed(head: Head, bytes: Buffer): Pick<Seen, "head" | "headEnd" | "minorVersion" | "headers"> {
  const text = (start: number, end: number): string => bytes.toString("latin1", start, end);
  const headers = Array.from(
    { length: head.fieldCount },
    (_, field) => [text(head.nameStart(field), head.nameEnd(field)), head.value(field)] as const,
  );
  return { head: "complete", headEnd: head.position, minorVersion: head.minorVersion, headers };
}

/** Gives the parser more and more of the same bytes, up to each of `places`. */
function parseGrowing(places: readonly number[], parse: (end: number) => ParseResult): ParseResult {
  let result: ParseResult = MORE;
  for (const end of places) {
    if (result !== MORE) break;
    if (end > 0) result = parse(end);
  }
  return result;
}

const seeRequest: Reader = (text, places) => {
  const bytes = Buffer.from(text, "latin1");
  const head = new Head();
  head.reset(bytes, 0);
  const result = parseGrowing(places, (end) => parseRequestHead(head, end, LIMITS));
  if (result !== DONE) return headOnly(result === BAD ? "refused" : "more");
  if (inspectRequest(head) !== undefined) return headOnly("refused");
  const body = new RequestBody(head);
  let bodyEnd = head.position;
  for (const end of places) {
    if (end > bodyEnd && !body.complete && body.problem === undefined) bodyEnd = body.consume(bytes, bodyEnd, end);
  }
  return {
    ...parsed(head, bytes),
    method: bytes.toString("latin1", head.start, head.methodEnd),
    target: bytes.toString("latin1", head.targetStart, head.targetEnd),
    form: targetForm(head),
    status: 0,
    framing: head.chunked ? "chunked" : head.contentLength > 0 ? "length" : "none",
    body: body.problem !== undefined ? "refused" : body.complete ? "complete" : "more",
    bodyEnd,
  };
};

function seeResponse(toHead: boolean): Reader {
  return (text, places) => {
    const bytes = Buffer.from(text, "latin1");
    const head = new Head();
    head.reset(bytes, 0);
    const result = parseGrowing(places, (end) => parseResponseHead(head, end, LIMITS));
    if (result !== DONE) return headOnly(result === BAD ? "refused" : "more");
    if (inspectResponse(head) !== undefined) return headOnly("refused");
    const framing = responseFraming(head, toHead);
    return {
      ...parsed(head, bytes),
      method: "",
      target: "",
      form: "bad",
      status: head.status,
      framing,
      ...seeBody(framing, head, bytes, places),
    };
  };
}

function seeBody(
  framing: Seen["framing"],
  head: Head,
  bytes: Buffer,
  places: readonly number[],
): Pick<Seen, "body" | "bodyEnd"> {
  const start = head.position;
  const rest = bytes.length - start;
  if (framing === "none") return { body: "complete", bodyEnd: start };
  if (framing === "close") return { body: "more", bodyEnd: bytes.length };
  if (framing === "length") {
    const complete = rest >= head.contentLength;
    return { body: complete ? "complete" : "more", bodyEnd: start + Math.min(rest, head.contentLength) };
  }
  const body = new ChunkedBody();
  let at = start;
  for (const end of places) if (end > at && !body.ended && !body.failed) at = body.consume(bytes, at, end);
  return { body: body.ended ? "complete" : body.failed ? "refused" : "more", bodyEnd: at };
}

/**
 * Both must say the same. The parser may notice earlier that an unfinished line will never be right; the reference looks
 * at whole lines only, so it is asked again with that line ended.
 */
function compare(seen: Seen, reference: ReferenceMessage, ended: () => ReferenceMessage): void {
  if (seen.head === "refused" && reference.head === "more") return expect(ended().head).toBe("refused");
  expect(seen.head).toBe(reference.head);
  if (seen.head !== "complete") return;
  const { body, bodyEnd, ...rest } = seen;
  const { body: expectedBody, bodyEnd: expectedEnd, data: _data, ...expected } = reference;
  expect(rest).toEqual(expected);
  if (body === "refused" && expectedBody === "more") return expect(ended().body).toBe("refused");
  expect(body).toBe(expectedBody);
  if (body === "complete") expect(bodyEnd).toBe(expectedEnd);
}

/** What is known only later when the pieces are small must still come out, at the end of the line at the latest. */
function sameInPieces(see: Reader, text: string, fractions: readonly number[]): void {
  const whole = see(text, [text.length]);
  let pieces = see(text, placesOf(text.length, fractions));
  if (whole.head === "refused" && pieces.head === "more") {
    pieces = see(`${text}\n`, placesOf(text.length + 1, [...fractions, text.length / (text.length + 1)]));
    expect(pieces.head).toBe("refused");
  } else expect(pieces).toEqual(whole);
}

const requestText = fc.oneof(
  { arbitrary: anyRequest.map(({ text }: Generated) => text), weight: 1 },
  { arbitrary: mutated(anyRequest), weight: 4 },
  { arbitrary: brokenChunks, weight: 4 },
  { arbitrary: noise, weight: 1 },
);
const responseText = fc.oneof(
  { arbitrary: anyResponse.map(({ text }: Generated) => text), weight: 1 },
  { arbitrary: mutated(anyResponse), weight: 4 },
  { arbitrary: noise.map((text) => text.replace("GET / HTTP/1.1", "HTTP/1.1 200 OK")), weight: 1 },
);

test("requests are read as the reference reads them", () => {
  fc.assert(
    fc.property(requestText, (text) => {
      const reference = readRequest(text, LIMITS);
      compare(seeRequest(text, [text.length]), reference, () => readRequest(`${text}\n`, LIMITS));
    }),
    runs(12_000),
  );
});

test("requests mean the same in whatever pieces they arrive", () => {
  fc.assert(
    fc.property(requestText, cuts, (text, fractions) => sameInPieces(seeRequest, text, fractions)),
    runs(6_000),
  );
});

test("valid requests are accepted, with the body that was sent", () => {
  fc.assert(
    fc.property(anyRequest, fc.string(), ({ text, data }, behind) => {
      const reference = readRequest(text + behind, LIMITS);
      fc.pre(reference.head === "complete");
      expect(reference.body).toBe("complete");
      expect(reference.data).toBe(data);
      expect(reference.bodyEnd).toBe(text.length);
      expect(seeRequest(text + behind, [text.length + behind.length]).bodyEnd).toBe(text.length);
    }),
    runs(2_000),
  );
});

test.each([false, true])("responses are read as the reference reads them (to HEAD: %p)", (toHead) => {
  fc.assert(
    fc.property(responseText, cuts, (text, fractions) => {
      const reference = readResponse(text, toHead, LIMITS);
      compare(seeResponse(toHead)(text, [text.length]), reference, () => readResponse(`${text}\n`, toHead, LIMITS));
      sameInPieces(seeResponse(toHead), text, fractions);
    }),
    runs(5_000),
  );
});

test("chunked bodies give back their data, whatever the chunks and the pieces", () => {
  fc.assert(
    fc.property(chunks, cuts, fc.string(), ({ wire, data }, fractions, behind) => {
      const bytes = Buffer.from(wire + behind, "latin1");
      const body = new ChunkedBody();
      let at = 0;
      let found = "";
      for (const end of placesOf(bytes.length, fractions)) {
        if (body.ended) break;
        at = body.consume(bytes, at, end, (from, to) => {
          found += bytes.toString("latin1", from, to);
        });
      }
      expect(body.ended).toBe(true);
      expect(found).toBe(data);
      expect(body.dataBytes).toBe(data.length);
      expect(at).toBe(wire.length);
    }),
    runs(3_000),
  );
});
