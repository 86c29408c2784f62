/** A client's connection that takes answers apart strictly: what it calls whole is whole by HTTP's own framing. */

export interface WholeAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: Buffer;
}

/** Why there is no whole answer. */
export type Breach = "refused" | "closed" | "cut" | "invalid" | "late" | "left";

export class Broken extends Error {
  readonly breach: Breach;

  constructor(breach: Breach) {
    super(breach);
    this.breach = breach;
  }
}

const CONNECT_TIMEOUT_MS = 10_000;

interface Waiting {
  readonly resolve: (answer: WholeAnswer) => void;
  readonly reject: (reason: Broken) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

type ClientSocket = Bun.Socket<HttpConnection>;

const HOST = "127.0.0.1";
/** Whether HTTP is spoken as it is, or in TLS: then the certificate must be for HOST, whoever has issued it. */
export type Security = "plain" | "tls";
const ANY_ISSUER = { rejectUnauthorized: false };

export class HttpConnection {
  isOpen = false;
  readonly #port: number;
  readonly #security: Security;
  #socket: ClientSocket | undefined;
  #unsent: Buffer | undefined;
  #received: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;

  private constructor(port: number, security: Security) {
    this.#port = port;
    this.#security = security;
  }

  /** Rejects with Broken when nobody accepts, or the handshake fails. */
  static async open(port: number, security: Security = "plain"): Promise<HttpConnection> {
    const connection = new HttpConnection(port, security);
    await connection.#connect();
    return connection;
  }

  /** Sends a request and waits for its answer. Rejects with Broken. */
  ask(request: string | Buffer, timeoutMs: number): Promise<WholeAnswer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#break("late"), timeoutMs);
      this.#waiting = { resolve, reject, timer };
      if (!this.isOpen) return this.#break("closed");
      this.#write(Buffer.from(request));
    });
  }

  /** Leaves without waiting for anything. */
  leave(): void {
    this.#break("left");
  }

  #connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => fail("late"), CONNECT_TIMEOUT_MS);
      const fail = (breach: Breach): void => {
        clearTimeout(timer);
        this.#break(breach);
        reject(new Broken(breach));
      };
      const opened = (): void => {
        clearTimeout(timer);
        this.isOpen = true;
        resolve();
      };
      // Of a connection that is closed as soon as it is made, only `close` tells.
      const closed = (): void => (this.isOpen ? this.#break("closed") : fail("refused"));
      const overTls = this.#security === "tls";
      const socket = {
        open: (accepted: ClientSocket) => {
          this.#socket = accepted;
          if (!overTls) opened();
        },
        handshake: (_socket: ClientSocket, isGood: boolean) => (isGood ? opened() : closed()),
        data: (_socket: ClientSocket, bytes: Buffer) => this.#take(bytes),
        drain: () => this.#write(Buffer.alloc(0)),
        end: closed,
        close: closed,
        error: closed,
        connectError: closed,
      };
      const to = { hostname: HOST, port: this.#port, ...(overTls ? { tls: ANY_ISSUER } : {}) };
      Bun.connect<HttpConnection>({ ...to, data: this, socket }).catch(closed);
    });
  }

  #write(bytes: Buffer): void {
    const all = this.#unsent === undefined ? bytes : Buffer.concat([this.#unsent, bytes]);
    const sent = all.length === 0 ? 0 : (this.#socket?.write(all) ?? 0);
    if (sent < 0) return this.#break("closed");
    this.#unsent = sent < all.length ? all.subarray(sent) : undefined;
  }

  #take(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#received, bytes]);
    const waiting = this.#waiting;
    // Nobody asked: an answer of its own accord, as balancers send it to a connection that was idle for too long.
    if (waiting === undefined) return this.#break("closed");
    const answer = takeAnswer(this.#received);
    if (answer === "more") return;
    if (answer === "invalid") return this.#break("invalid");
    this.#received = Buffer.alloc(0);
    this.#waiting = undefined;
    clearTimeout(waiting.timer);
    if (/^connection: *close/im.test(answer.head)) this.#close();
    waiting.resolve(answer);
  }

  #break(breach: Breach): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    const begun = this.#received.length > 0;
    this.#close();
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    waiting.reject(new Broken(breach === "closed" && begun ? "cut" : breach));
  }

  #close(): void {
    this.isOpen = false;
    this.#received = Buffer.alloc(0);
    this.#socket?.terminate();
    this.#socket = undefined;
  }
}

/** The one answer in `bytes`: more than one is invalid, since only one was asked for. */
function takeAnswer(bytes: Buffer): WholeAnswer | "more" | "invalid" {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return bytes.length > 65_536 ? "invalid" : "more";
  const head = bytes.toString("latin1", 0, end);
  const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/m.exec(head)?.[1] ?? 0);
  if (status < 200) return "invalid";
  const rest = bytes.subarray(end + 4);
  if (/^transfer-encoding: *chunked$/im.test(head)) {
    const body = takeChunks(rest);
    return typeof body === "string" ? body : { status, head, body };
  }
  const length = Number(/^content-length: *(\d+)$/im.exec(head)?.[1] ?? Number.NaN);
  if (Number.isNaN(length) || rest.length > length) return "invalid";
  return rest.length < length ? "more" : { status, head, body: rest };
}

function takeChunks(bytes: Buffer): Buffer | "more" | "invalid" {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return "more";
    const size = Number.parseInt(bytes.toString("latin1", at, end), 16);
    if (Number.isNaN(size)) return "invalid";
    const next = end + 2 + size + 2;
    if (next > bytes.length) return "more";
    if (bytes.toString("latin1", next - 2, next) !== "\r\n") return "invalid";
    if (size === 0) return next === bytes.length ? Buffer.concat(chunks) : "invalid";
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = next;
  }
}
