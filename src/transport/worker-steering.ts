/**
 * Brings a client's address to the same one of several listening sockets again, so that it finds the worker that knows
 * its TLS session. A program for the kernel (classic BPF) chooses by the source address of the packet that opens a
 * connection; sockets count in the order in which they began to listen. Without it the kernel hashes the port as well.
 */
import { dlopen, ptr } from "bun:ffi";

const SOL_SOCKET = 1;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const SO_DETACH_REUSEPORT_BPF = 68;

/** Loads from the start of the IP header, wherever the packet is by now (SKF_NET_OFF). */
const NETWORK_HEADER = -0x100000;
const IPV4_SOURCE = NETWORK_HEADER + 12;
/** Four words. */
const IPV6_SOURCE = NETWORK_HEADER + 8;
/** No socket has this number: the kernel then spreads the connection as it would without a program. */
const NOT_STEERED = 0xffffffff;
const LOOPBACK_NETWORK = 127;
/** 2^32 divided by the golden ratio: spreads neighbouring addresses over all of the high bits. */
const MIX = 0x9e3779b1;

/** Opcodes of classic BPF: class, size or operation, mode or source (linux/filter.h). `a` is the accumulator, `x` the index. */
const LOAD_WORD = 0x20;
const LOAD_BYTE = 0x30;
const COPY_TO_X = 0x07;
const XOR_X = 0xac;
const MULTIPLY = 0x24;
const SHIFT_RIGHT = 0x74;
const MODULO = 0x94;
const JUMP_IF_EQUAL = 0x15;
const RETURN_A = 0x16;
const RETURN = 0x06;

/** `k` is the operand; a jump goes on `whenTrue` or `whenFalse` instructions further. */
interface Instruction {
  readonly code: number;
  readonly k?: number;
  readonly whenTrue?: number;
  readonly whenFalse?: number;
}

const INSTRUCTION_BYTES = 8;
const HEADER_BYTES = 16;

const libc = dlopen("libc.so.6", {
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
}).symbols;

export interface Steering {
  /** Sockets that listen on the address. */
  readonly sockets: number;
  /**
   * Steer clients of this machine as well. They are better spread: a proxy or a load generator on loopback is one address
   * for many clients.
   */
  readonly loopback: boolean;
}

/** Steers from now on what comes to the group of sockets that this one belongs to. False when the kernel does not want to. */
export function attachSteering(descriptor: number, steering: Steering): boolean {
  const program = steeringProgram(steering);
  // struct sock_fprog: the number of instructions, and where they are. They follow it.
  const bytes = new Uint8Array(HEADER_BYTES + program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, program.length, true);
  view.setBigUint64(8, BigInt(ptr(bytes, HEADER_BYTES)), true);
  encode(program, view, HEADER_BYTES);
  return libc.setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ptr(bytes), HEADER_BYTES) === 0;
}

/** Leaves it to the kernel again. False when there was nothing to be taken away. */
export function detachSteering(descriptor: number): boolean {
  const nothing = new Int32Array(1);
  return libc.setsockopt(descriptor, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, ptr(nothing), 4) === 0;
}

function steeringProgram({ sockets, loopback }: Steering): Instruction[] {
  const choose: Instruction[] = [
    { code: MULTIPLY, k: MIX },
    // The high bits depend on all of the address.
    { code: SHIFT_RIGHT, k: 16 },
    { code: MODULO, k: sockets },
    { code: RETURN_A },
  ];
  const ipv6: Instruction[] = [
    { code: LOAD_WORD, k: IPV6_SOURCE },
    ...[4, 8, 12].flatMap((offset): Instruction[] => [
      { code: COPY_TO_X },
      { code: LOAD_WORD, k: IPV6_SOURCE + offset },
      { code: XOR_X },
    ]),
    ...(loopback ? [] : notSteeredIf(1)),
    ...choose,
  ];
  const ipv4: Instruction[] = [
    ...(loopback ? [] : [{ code: LOAD_BYTE, k: IPV4_SOURCE }, ...notSteeredIf(LOOPBACK_NETWORK)]),
    { code: LOAD_WORD, k: IPV4_SOURCE },
    ...choose,
  ];
  return [
    { code: LOAD_BYTE, k: NETWORK_HEADER },
    { code: SHIFT_RIGHT, k: 4 },
    { code: JUMP_IF_EQUAL, k: 6, whenFalse: ipv6.length },
    ...ipv6,
    ...ipv4,
  ];
}

/** An IPv6 address whose words come to 1 is `::1` nearly always; where it is another, its clients are spread, no more. */
function notSteeredIf(value: number): Instruction[] {
  return [
    { code: JUMP_IF_EQUAL, k: value, whenFalse: 1 },
    { code: RETURN, k: NOT_STEERED },
  ];
}

/** struct sock_filter: code, two jumps, operand. */
function encode(program: readonly Instruction[], view: DataView, start: number): void {
  for (const [index, { code, k = 0, whenTrue = 0, whenFalse = 0 }] of program.entries()) {
    const at = start + index * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, whenTrue);
    view.setUint8(at + 3, whenFalse);
    view.setUint32(at + 4, k >>> 0, true);
  }
}
