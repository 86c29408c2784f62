/** Gathers a client's first bytes until they tell what its TLS handshake asks for. */
import { MORE } from "../protocols/outcome.ts";
import { parseClientHello } from "../protocols/tls/client-hello.ts";
import type { TlsView } from "../transport/origin.ts";

export class HelloReader {
  /** All that has come, to be passed on as it is. */
  bytes: Buffer = Buffer.alloc(0);

  read(piece: Buffer): "more" | "bad" | TlsView {
    this.bytes = this.bytes.length === 0 ? piece : Buffer.concat([this.bytes, piece]);
    const hello = parseClientHello(this.bytes, this.bytes.length);
    if (hello === MORE) return "more";
    return "error" in hello
      ? "bad"
      : { serverName: hello.serverName, protocols: hello.alpn, version: "", clientCertificate: undefined };
  }
}
