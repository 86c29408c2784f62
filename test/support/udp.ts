/** UDP clients and endpoints for tests. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

export interface Datagram {
  readonly text: string;
  readonly address: string;
  readonly port: number;
}

export interface UdpPeer {
  readonly port: number;
  readonly address: string;
  readonly received: Datagram[];
  send(text: string | Uint8Array, port: number, host?: string): void;
  texts(): string[];
  stop(): Promise<void>;
}

/** A socket that keeps what comes, and gives it to `serve`, which may answer. */
export async function udpPeer(
  serve: (datagram: Datagram, answer: (text: string | Uint8Array) => void) => void = () => {},
  options: { readonly host?: string; readonly port?: number } = {},
): Promise<UdpPeer> {
  const { host = "127.0.0.1", port = 0 } = options;
  const socket: Socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const received: Datagram[] = [];
  let stopped = false;
  socket.on("error", () => {});
  socket.on("message", (bytes, from) => {
    const datagram = { text: bytes.toString("latin1"), address: from.address, port: from.port };
    received.push(datagram);
    serve(datagram, (text) => {
      if (!stopped) socket.send(text, from.port, from.address);
    });
  });
  socket.bind(port, host);
  await once(socket, "listening");
  const bound = socket.address().port;
  return {
    port: bound,
    address: host.includes(":") ? `[${host}]:${bound}` : `${host}:${bound}`,
    received,
    send: (text, to, at = host) => socket.send(text, to, at),
    texts: () => received.map(({ text }) => text),
    async stop() {
      if (stopped) return;
      stopped = true;
      socket.close();
      await once(socket, "close");
    },
  };
}

/** Answers `name:` and what was sent. */
export function udpEcho(name = "echo", options: Parameters<typeof udpPeer>[1] = {}): Promise<UdpPeer> {
  return udpPeer(({ text }, answer) => answer(Buffer.from(`${name}:${text}`, "latin1")), options);
}
