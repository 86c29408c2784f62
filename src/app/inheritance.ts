/**
 * What a process leaves to the one that takes its place, and how it gets there: the listening sockets; then,
 * in a last message, what operators have changed, and the memory that sessions are in.
 */
import { fstatSync } from "node:fs";
import { readUnnamedFile, unnamedFileOf } from "../base/unnamed-file.ts";
import { SessionTable } from "../sessions/session-table.ts";
import { receiveDescriptors, sendDescriptors } from "../transport/descriptor-passing.ts";
import { closeDescriptor } from "../transport/listening-socket.ts";
import { receiveNamed, sendNamed } from "../transport/named-descriptors.ts";
import { readChanges, type SavedChanges, writeChanges } from "../upstreams/saved-changes.ts";
import type { InheritedSockets } from "./sockets.ts";

export interface Inheritance {
  readonly sockets: InheritedSockets;
  /** Undefined when they are not to be read: another version has written them. */
  readonly changes: SavedChanges | undefined;
  /** A descriptor; undefined when there is none, or another version has laid it out. */
  readonly sessions: number | undefined;
}

/** JSON, with the descriptors of a file of changes, and of the memory of sessions if there is one. */
interface LastMessage {
  readonly sessionLayout: number | undefined;
}

/** Throws an EvenkeelError when nobody is at the other end. The sender keeps its own descriptors. */
export function leave(channel: number, { sockets, changes, sessions }: Inheritance): void {
  sendNamed(channel, sockets);
  const file = unnamedFileOf("changes", JSON.stringify(changes === undefined ? {} : writeChanges(changes)));
  try {
    const sessionLayout = sessions === undefined ? undefined : SessionTable.LAYOUT;
    const message: LastMessage = { sessionLayout };
    sendDescriptors(channel, JSON.stringify(message), sessions === undefined ? [file] : [file, sessions]);
  } finally {
    closeDescriptor(file);
  }
}

/** Takes all that is left, or as much as there is before the other end is closed. */
export function inherit(channel: number): Inheritance {
  const sockets = receiveNamed(channel);
  const last = receiveDescriptors(channel);
  if (last === undefined) return { sockets, changes: undefined, sessions: undefined };
  return { sockets, ...readLast(JSON.parse(last.text) as LastMessage, last.descriptors) };
}

function readLast({ sessionLayout }: LastMessage, [file, sessions]: readonly number[]): Omit<Inheritance, "sockets"> {
  const changes = file === undefined ? undefined : readChanges(readUnnamedFile(file));
  if (file !== undefined) closeDescriptor(file);
  if (sessions === undefined) return { changes, sessions: undefined };
  const isOurs = sessionLayout === SessionTable.LAYOUT && fstatSync(sessions).size === SessionTable.bytes();
  if (!isOurs) closeDescriptor(sessions);
  return { changes, sessions: isOurs ? sessions : undefined };
}
