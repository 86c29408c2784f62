/** Calls the greeter: `client.ts [ADDRESS]`. All calls go over one channel, and still to every server in turn. */
import { type CallOptions, Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { greeter } from "./greeter.ts";

export interface GreeterClient {
  hello(name: string, options?: CallOptions): Promise<string>;
  countdown(from: number): Promise<string[]>;
  chat(lines: readonly string[]): Promise<string[]>;
  close(): void;
}

export function connect(address: string): GreeterClient {
  const client = new Client(address, credentials.createInsecure());
  const collect = (stream: NodeJS.ReadableStream): Promise<string[]> =>
    new Promise((resolve, reject) => {
      const texts: string[] = [];
      stream.on("data", (text: string) => void texts.push(text));
      stream.on("end", () => resolve(texts));
      stream.on("error", reject);
    });
  return {
    hello: (name, options = {}) =>
      new Promise((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = greeter.hello;
        const done = (error: ServiceError | null, text?: string): void =>
          error === null ? resolve(text ?? "") : reject(error);
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, name, options, done);
      }),
    countdown(from) {
      const { path, requestSerialize, responseDeserialize } = greeter.countdown;
      return collect(client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, String(from)));
    },
    chat(lines) {
      const { path, requestSerialize, responseDeserialize } = greeter.chat;
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
      for (const line of lines) call.write(line);
      call.end();
      return collect(call);
    },
    close: () => client.close(),
  };
}

if (import.meta.main) {
  const client = connect(process.argv[2] ?? "127.0.0.1:8080");
  for (let count = 0; count < 4; count++) console.log(await client.hello("world"));
  console.log((await client.countdown(3)).join("\n"));
  console.log((await client.chat(["one", "two"])).join("\n"));
  client.close();
}
