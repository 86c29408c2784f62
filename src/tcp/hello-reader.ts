import type { TlsView } from "../routing/request-view.ts";
export class HelloReader {
  bytes: Buffer = Buffer.alloc(0);
  read(bytes: Buffer): "more" | "bad" | TlsView {
    this.bytes = bytes;
    return "bad";
  }
}
