import { expect, test } from "bun:test";
import { MessageState } from "./message-state.ts";

const WRONG_LENGTH = "the content is not as long as content-length says";

test("fields, DATA as long as was said, trailers", () => {
  const message = new MessageState();
  expect(message.next).toBe("fields");
  expect(message.onFields(5, false)).toBeUndefined();
  expect(message.next).toBe("trailers");
  expect(message.onData(3)).toBeUndefined();
  expect(message.onData(2)).toBeUndefined();
  expect(message.onTrailers(true)).toBeUndefined();
  expect(message.received).toBe(5);
});

test("without a content-length, DATA may be as long as it is", () => {
  const message = new MessageState();
  expect(message.onFields(-1, false)).toBeUndefined();
  expect(message.onData(1_000_000)).toBeUndefined();
  expect(message.onDataEnd()).toBeUndefined();
  expect(new MessageState().onFields(-1, true)).toBeUndefined();
  expect(new MessageState().onFields(0, true)).toBeUndefined();
});

test("content that is shorter or longer than was said", () => {
  expect(new MessageState().onFields(5, true)).toBe(WRONG_LENGTH);
  const short = new MessageState();
  short.onFields(5, false);
  short.onData(4);
  expect(short.onDataEnd()).toBe(WRONG_LENGTH);
  expect(short.onTrailers(true)).toBe(WRONG_LENGTH);
  const long = new MessageState();
  long.onFields(5, false);
  expect(long.onData(6)).toBe(WRONG_LENGTH);
});

test("answers without content may say the length of another", () => {
  expect(new MessageState().onFields(5, true, true)).toBeUndefined();
  const message = new MessageState();
  expect(message.onFields(5, false, true)).toBeUndefined();
  expect(message.onData(1)).toBe(WRONG_LENGTH);
});

test("what comes at the wrong time", () => {
  expect(new MessageState().onData(1)).toBe("DATA came before the fields");
  expect(new MessageState().onDataEnd()).toBe("DATA came before the fields");
  expect(new MessageState().onInterim(true)).toBe("an interim response ends the stream");
  const message = new MessageState();
  expect(message.onInterim(false)).toBeUndefined();
  expect(message.next).toBe("fields");
  message.onFields(-1, false);
  expect(message.onTrailers(false)).toBe("trailers do not end the stream");
});
