/** The forms of an access log line, each compiled to one function. All escape what clients send: a line is always one line. */
import { EvenkeelError } from "../base/errors.ts";

/** What there is to say of an exchange. Read lazily: a format costs what it shows. */
export interface AccessRecord {
  readonly startedWallMs: number;
  readonly clientIp: string;
  readonly clientPort: number;
  readonly listener: string;
  /** "" when it did not come to that; so for pool and endpoint. */
  readonly route: string;
  readonly pool: string;
  readonly endpoint: string;
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly protocol: string;
  /** 0 when nothing was answered. */
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Of these, without the head of the answer. */
  readonly bodyBytesOut: number;
  /** Of a UDP flow. */
  readonly datagramsIn?: number;
  readonly datagramsOut?: number;
  readonly attempts: number;
  /** Milliseconds; -1 when it did not come to that. */
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly totalMs: number;
  /** "" when the pool has no sessions or the request none; else `new`, `kept`, `moved` or `refused`. */
  readonly session?: string;
  /** "" or the error code with which evenkeel itself ended the exchange. */
  readonly reason: string;
  readonly requestId: string;
  readonly userAgent: string;
  readonly referer: string;
  /** Undefined when the client does not use TLS. `version` is "" when TLS is passed through. */
  readonly tls: AccessTls | undefined;
}

export interface AccessTls {
  readonly version: string;
  readonly serverName: string;
  readonly clientCertificate: { readonly verified: boolean; readonly subject: string } | undefined;
}

type Format = (record: AccessRecord) => string;

/** `json`, `combined`, or a template. Throws an EvenkeelError that lists the placeholders for an unknown one. */
export function compileFormat(format: string): Format {
  if (format === "json") return jsonFormat;
  if (format === "combined") return combinedFormat;
  return compileTemplate(format);
}

/** The placeholders of templates, and at the same time the keys of JSON lines. */
const FIELDS: Readonly<Record<string, Format>> = {
  time: (record) => isoTime(record.startedWallMs),
  client: (record) => record.clientIp,
  clientPort: (record) => String(record.clientPort),
  listener: (record) => record.listener,
  route: (record) => record.route,
  pool: (record) => record.pool,
  endpoint: (record) => record.endpoint,
  method: (record) => escapeText(record.method),
  target: (record) => escapeText(record.target),
  path: (record) => escapeText(record.target.split("?", 1)[0] ?? ""),
  host: (record) => escapeText(record.host),
  protocol: (record) => record.protocol,
  status: (record) => String(record.status),
  bytesIn: (record) => String(record.bytesIn),
  bytesOut: (record) => String(record.bytesOut),
  bodyBytesOut: (record) => String(record.bodyBytesOut),
  datagramsIn: (record) => String(record.datagramsIn ?? ""),
  datagramsOut: (record) => String(record.datagramsOut ?? ""),
  attempts: (record) => String(record.attempts),
  connect: (record) => milliseconds(record.connectMs),
  firstByte: (record) => milliseconds(record.firstByteMs),
  duration: (record) => milliseconds(record.totalMs),
  session: (record) => record.session ?? "",
  reason: (record) => record.reason,
  requestId: (record) => escapeText(record.requestId),
  userAgent: (record) => escapeText(record.userAgent),
  referer: (record) => escapeText(record.referer),
  tlsVersion: (record) => record.tls?.version ?? "",
  serverName: (record) => escapeText(record.tls?.serverName ?? ""),
  clientSubject: (record) => escapeText(verifiedSubject(record)),
};

/** What an unverified certificate says is worth nothing, in logs as well. */
function verifiedSubject({ tls }: AccessRecord): string {
  return tls?.clientCertificate?.verified === true ? tls.clientCertificate.subject : "";
}

function compileTemplate(template: string): Format {
  const parts = template.split(/(\{[A-Za-z]+\})/).filter((part) => part !== "");
  const writers = parts.map((part): Format => {
    const name = /^\{([A-Za-z]+)\}$/.exec(part)?.[1];
    if (name === undefined) return () => part;
    const field = FIELDS[name];
    if (field === undefined) {
      throw new EvenkeelError(
        `{${name}} is not known; there are ${Object.keys(FIELDS)
          .map((known) => `{${known}}`)
          .join(" ")}`,
      );
    }
    return (record) => field(record) || "-";
  });
  return (record) => {
    let line = "";
    for (const write of writers) line += write(record);
    return `${line}\n`;
  };
}

function jsonFormat(record: AccessRecord): string {
  let line = `{"time":"${isoTime(record.startedWallMs)}","client":"${record.clientIp}","clientPort":${record.clientPort}`;
  line += `,"listener":"${record.listener}","route":"${record.route}","pool":"${record.pool}","endpoint":"${record.endpoint}"`;
  line += `,"method":"${escapeText(record.method)}","host":"${escapeText(record.host)}","target":"${escapeText(record.target)}","protocol":"${record.protocol}"`;
  line += `,"status":${record.status},"bytesIn":${record.bytesIn},"bytesOut":${record.bytesOut}`;
  if (record.datagramsIn !== undefined)
    line += `,"datagramsIn":${record.datagramsIn},"datagramsOut":${record.datagramsOut}`;
  line += `,"attempts":${record.attempts}`;
  line += `,"connectMs":${milliseconds(record.connectMs)},"firstByteMs":${milliseconds(record.firstByteMs)},"durationMs":${milliseconds(record.totalMs)}`;
  if (record.tls !== undefined) line += tlsFields(record, record.tls);
  if (record.session !== undefined && record.session !== "") line += `,"session":"${record.session}"`;
  return `${line},"reason":"${record.reason}","requestId":"${escapeText(record.requestId)}","userAgent":"${escapeText(record.userAgent)}"}\n`;
}

function tlsFields(record: AccessRecord, { version, serverName }: AccessTls): string {
  const subject = verifiedSubject(record);
  return (
    (version === "" ? "" : `,"tlsVersion":"${version}"`) +
    (serverName === "" ? "" : `,"serverName":"${escapeText(serverName)}"`) +
    (subject === "" ? "" : `,"clientSubject":"${escapeText(subject)}"`)
  );
}

/** As nginx and Apache write it, for the tools that read those. */
function combinedFormat(record: AccessRecord): string {
  const request = `${escapeText(record.method)} ${escapeText(record.target)} ${record.protocol}`;
  const quoted = (text: string) => (text === "" ? "-" : escapeText(text));
  return `${record.clientIp} - - [${combinedTime(record.startedWallMs)}] "${request}" ${record.status} ${record.bodyBytesOut} "${quoted(record.referer)}" "${quoted(record.userAgent)}"\n`;
}

/** Microseconds are as fine as it gets; -1 (never happened) stays. */
function milliseconds(value: number): string {
  return value < 0 ? "-1" : String(Math.round(value * 1_000) / 1_000);
}

const MAX_TEXT = 2_048;

/** Safe inside a JSON string and inside quotes; what is longer than 2,048 characters is cut. */
function escapeText(text: string): string {
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}...` : text;
  return /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(cut)
    ? cut
    : cut.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, escapeCharacter);
}

function escapeCharacter(character: string): string {
  if (character === '"') return '\\"';
  if (character === "\\") return "\\\\";
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

let isoSecond = -1;
let isoText = "";

/** ISO 8601 with milliseconds; the part up to the second is formatted once a second. */
function isoTime(wallMs: number): string {
  const second = Math.floor(wallMs / 1_000);
  if (second !== isoSecond) {
    isoSecond = second;
    isoText = new Date(second * 1_000).toISOString().slice(0, 20);
  }
  return `${isoText}${String(Math.floor(wallMs % 1_000)).padStart(3, "0")}Z`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
let combinedSecond = -1;
let combinedText = "";

function combinedTime(wallMs: number): string {
  const second = Math.floor(wallMs / 1_000);
  if (second !== combinedSecond) {
    combinedSecond = second;
    const iso = new Date(second * 1_000).toISOString();
    combinedText = `${iso.slice(8, 10)}/${MONTHS[Number(iso.slice(5, 7)) - 1]}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`;
  }
  return combinedText;
}
