/** Passes a client on with bytes in front of its own, and its first bytes in pieces: a proxy of which nothing is taken for granted. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Relay {
  readonly port: number;
  stop(): void;
}

export interface RelayOptions {
  readonly to: number;
  /** Sent before anything of the client's. */
  readonly before: string | Buffer;
  /** Cuts those bytes and the client's first ones into what is sent piece by piece. */
  readonly cut?: (bytes: Buffer) => readonly Buffer[];
  /** Send the bytes at once, and not with the client's first. */
  readonly early?: boolean;
}

async function sendPieces(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export async function startRelay({
  to,
  before,
  cut = (bytes) => [bytes],
  early = false,
}: RelayOptions): Promise<Relay> {
  const sockets: Socket[] = [];
  const keep = (socket: Socket): Socket => {
    sockets.push(socket);
    socket.on("error", () => socket.destroy());
    return socket;
  };
  const server = createServer((client) => {
    const upstream = keep(connect({ port: to, host: "127.0.0.1", noDelay: true }));
    keep(client);
    const header = Buffer.from(before as string, "latin1");
    if (early) upstream.write(header);
    client.once("data", (first: Buffer) => {
      client.pause();
      void sendPieces(upstream, cut(early ? first : Buffer.concat([header, first]))).then(() => client.pipe(upstream));
    });
    upstream.pipe(client);
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
