/** What the greeter says, and how it goes over the wire: one text a message, written by hand to need no generator. */
import type { ServiceDefinition } from "@grpc/grpc-js";

/** Field 1 of a protobuf message, a text; shorter than 128 bytes. */
const TEXT_FIELD = 0x0a;

function serialize(text: string): Buffer {
  const bytes = Buffer.from(text).subarray(0, 127);
  return Buffer.concat([Buffer.from([TEXT_FIELD, bytes.length]), bytes]);
}

function deserialize(bytes: Buffer): string {
  return bytes.subarray(2, 2 + (bytes[1] ?? 0)).toString();
}

const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/greeter.Greeter/${name}`,
  requestStream,
  responseStream,
  requestSerialize: serialize,
  requestDeserialize: deserialize,
  responseSerialize: serialize,
  responseDeserialize: deserialize,
});

/** The same as in greeter.proto. */
export const greeter = {
  hello: method("Hello", false, false),
  countdown: method("Countdown", false, true),
  chat: method("Chat", true, true),
} as const satisfies ServiceDefinition;
