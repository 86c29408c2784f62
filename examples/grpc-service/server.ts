/** One greeter. Says that it is well by gRPC's own health checking, until it is told otherwise. */
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { greeter } from "./greeter.ts";

const name = process.env["NAME"] ?? "greeter";
const SERVING = 1;
const NOT_SERVING = 2;
let health = SERVING;

/** grpc.health.v1: the request is not looked at, the response is field 1, a number. */
const healthService = {
  check: {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (status: number) => Buffer.from([0x08, status]),
    responseDeserialize: (bytes: Buffer) => bytes[1] ?? 0,
  },
} as const;

const server = new Server();
server.addService(greeter, {
  hello(call: ServerUnaryCall<string, string>, answer: sendUnaryData<string>) {
    // For trying out what happens when a server is not well.
    if (call.request === "be sick") health = NOT_SERVING;
    if (call.request === "be well") health = SERVING;
    answer(null, `Hello ${call.request}, this is ${name}`);
  },
  countdown(call: ServerWritableStream<string, string>) {
    for (let left = Number(call.request); left > 0; left--) call.write(`${left} says ${name}`);
    call.end();
  },
  chat(call: ServerDuplexStream<string, string>) {
    call.on("data", (text: string) => call.write(`${name}: ${text}`));
    call.on("end", () => call.end());
  },
});
server.addService(healthService, {
  check: (_call: ServerUnaryCall<Buffer, number>, answer: sendUnaryData<number>) => answer(null, health),
});
server.bindAsync(`127.0.0.1:${process.env["PORT"]}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
