/**
 * Lets TLS sockets choose their certificate by name, through a handler that the runtime has but does not document.
 * A test fails if a new version of the runtime drops it.
 */
import { dlopen, ptr } from "bun:ffi";
import type { CertificateSelector } from "./certificate-selector.ts";
import type { NativeContext } from "./secure-context.ts";

/** Record header (alert, TLS 1.2 as all versions write it, two bytes), fatal, unrecognized_name(112): RFC 8446, section 6. */
const UNRECOGNIZED_NAME = Uint8Array.of(0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70);
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

const libc = dlopen("libc.so.6", {
  send: { args: ["i32", "ptr", "usize", "i32"], returns: "i64" },
}).symbols;

/** What of a socket is needed here. */
interface TlsSocket {
  readonly fd: number;
}

/** The context to go on with, or false to refuse the handshake. */
export type ServerNameHandler = (data: unknown, serverName: string, socket: TlsSocket) => NativeContext | false;

/**
 * Belongs into the `socket` handlers of `Bun.listen` or `upgradeTLS` as `serverName`. `selector` is asked each time, so
 * that a reload counts for the next handshake. A refused name gets the alert `unrecognized_name` (RFC 6066, section 3).
 */
export function serverNameHandler(selector: () => CertificateSelector): ServerNameHandler {
  return (_data, serverName, socket) => {
    const context = selector().select(serverName);
    if (context !== undefined) return context;
    // The runtime would close without a word. Nothing has been sent yet, so the alert goes out in the clear.
    libc.send(socket.fd, ptr(UNRECOGNIZED_NAME), UNRECOGNIZED_NAME.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    return false;
  };
}
