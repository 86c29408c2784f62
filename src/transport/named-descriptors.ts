/** Descriptors under names, any number of them, in as many messages as they need. */
import { MAX_DESCRIPTORS, receiveDescriptors, sendDescriptors } from "./descriptor-passing.ts";

/** JSON, with the descriptors that belong to it in this order. */
interface Message {
  /** Each with the number of its descriptors. */
  readonly names: readonly (readonly [string, number])[];
  readonly isLast: boolean;
}

/** Throws an EvenkeelError as `sendDescriptors` does. */
export function sendNamed(channel: number, named: Readonly<Record<string, readonly number[]>>): void {
  const all = Object.entries(named).flatMap(([name, descriptors]) =>
    descriptors.map((descriptor) => ({ name, descriptor })),
  );
  for (let next = 0; next === 0 || next < all.length; next += MAX_DESCRIPTORS) {
    const some = all.slice(next, next + MAX_DESCRIPTORS);
    const counts = new Map<string, number>();
    for (const { name } of some) counts.set(name, (counts.get(name) ?? 0) + 1);
    const message: Message = { names: [...counts], isLast: next + MAX_DESCRIPTORS >= all.length };
    sendDescriptors(
      channel,
      JSON.stringify(message),
      some.map(({ descriptor }) => descriptor),
    );
  }
}

/** What `sendNamed` sends, or as much of it as there is before the other end is closed. */
export function receiveNamed(channel: number): Record<string, readonly number[]> {
  const named = new Map<string, number[]>();
  for (let isLast = false; !isLast; ) {
    const received = receiveDescriptors(channel);
    if (received === undefined) break;
    const message = JSON.parse(received.text) as Message;
    let next = 0;
    for (const [name, count] of message.names) {
      named.set(name, [...(named.get(name) ?? []), ...received.descriptors.slice(next, next + count)]);
      next += count;
    }
    isLast = message.isLast;
  }
  return Object.fromEntries(named);
}
