/** The admin server over the life of a process: started, moved to another address by a reload, stopped. */
import { lstatSync, unlinkSync } from "node:fs";
import { type AdminServer, type AdminState, startAdmin, startAdminSocket } from "../admin/server.ts";
import { parseListenAddress } from "../base/address.ts";
import { EvenkeelError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { assertNobodyListens } from "../transport/listening-socket.ts";
import { cannotListen, numericHost } from "./sockets.ts";

export interface PreparedAdmin {
  commit(): void;
  abort(): void;
}

/** One place to listen at: what it is called, and the server there. */
interface Place {
  readonly name: string;
  readonly server: AdminServer;
}

export class AdminControl {
  readonly #state: AdminState;
  #address: Place | undefined;
  #socket: Place | undefined;

  constructor(state: AdminState) {
    this.#state = state;
  }

  get port(): number | undefined {
    return this.#address?.server.port;
  }

  /**
   * Listens where `admin` says, beside where it did before; `commit` makes it the only place. Throws an EvenkeelError when
   * it cannot. `shared`: another evenkeel is there and about to leave.
   */
  prepare(admin: Config["admin"], shared: boolean): PreparedAdmin {
    const wanted = admin === false ? { address: undefined, socket: undefined } : admin;
    const address = this.#prepareOne(this.#address, wanted.address, (text) => this.#listen(text, shared));
    let socket: Place | undefined;
    try {
      socket = this.#prepareOne(this.#socket, wanted.socket, (path) => this.#listenInFiles(path));
    } catch (error) {
      if (address !== this.#address) address?.server.stop();
      throw error;
    }
    return {
      commit: () => {
        if (address !== this.#address) this.#address?.server.stop();
        if (socket !== this.#socket) this.#leaveSocket();
        this.#address = address;
        this.#socket = socket;
      },
      abort: () => {
        if (address !== this.#address) address?.server.stop();
        if (socket !== this.#socket && socket !== undefined) stopSocket(socket);
      },
    };
  }

  /** `handedOver`: the socket in the file system is another process's by now. */
  stop(handedOver = false): void {
    this.#state.api.events.close();
    this.#address?.server.stop();
    this.#address = undefined;
    if (handedOver) this.#socket = undefined;
    else this.#leaveSocket();
  }

  #prepareOne(now: Place | undefined, wanted: string | undefined, listen: (name: string) => AdminServer) {
    if (wanted === now?.name) return now;
    return wanted === undefined ? undefined : { name: wanted, server: listen(wanted) };
  }

  #leaveSocket(): void {
    if (this.#socket !== undefined) stopSocket(this.#socket);
    this.#socket = undefined;
  }

  #listen(address: string, shared: boolean): AdminServer {
    const parsed = parseListenAddress(address) ?? { host: "127.0.0.1", port: 0 };
    try {
      // On its own port it listens beside itself for a moment, when only the host changes.
      if (!shared && parsed.port !== 0 && parsed.port !== this.port)
        assertNobodyListens(numericHost(parsed.host), parsed.port);
      return startAdmin(parsed, this.#state);
    } catch (error) {
      throw cannotListen("admin", parsed, error as Error);
    }
  }

  #listenInFiles(path: string): AdminServer {
    try {
      clearSocket(path);
      return startAdminSocket(path, this.#state);
    } catch (error) {
      if (error instanceof EvenkeelError) throw error;
      throw new EvenkeelError(`admin: cannot listen on ${path}: ${(error as Error).message}`);
    }
  }
}

function stopSocket({ name, server }: Place): void {
  server.stop();
  try {
    unlinkSync(name);
  } catch {
    // It is gone already.
  }
}

/** Removes a socket that an earlier run has left. Anything else at this path is somebody's, and stays. */
function clearSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new EvenkeelError(`admin.socket: ${path} is there already and is no socket`);
  unlinkSync(path);
}
