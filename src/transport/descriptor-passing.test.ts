import { expect, test } from "bun:test";
import { openDescriptorChannel, receiveDescriptors, sendDescriptors } from "./descriptor-passing.ts";
import { closeDescriptor, openListeningSocket, portOf } from "./listening-socket.ts";

test("descriptors arrive as copies, in order, with their text", () => {
  const [near, far] = openDescriptorChannel();
  const sockets = [openListeningSocket("127.0.0.1", 0), openListeningSocket("127.0.0.1", 0)];
  sendDescriptors(near, "one", sockets);
  sendDescriptors(near, "none", []);
  const first = receiveDescriptors(far);
  expect(first?.text).toBe("one");
  expect(first?.descriptors.map(portOf)).toEqual(sockets.map(portOf));
  expect(first?.descriptors).not.toEqual(sockets);
  expect(receiveDescriptors(far)).toEqual({ text: "none", descriptors: [] });
  closeDescriptor(near);
  expect(receiveDescriptors(far)).toBeUndefined();
  for (const descriptor of [far, ...sockets, ...(first?.descriptors ?? [])]) closeDescriptor(descriptor);
});

test("an address that is not ours is refused with a reason", () => {
  expect(() => openListeningSocket("203.0.113.1", 0)).toThrow("this machine has no such address");
});
