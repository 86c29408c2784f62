/** The admin server over the life of a process: started, moved to another address by a reload, stopped. */
import { type AdminServer, type AdminState, startAdmin } from "../admin/server.ts";
import { parseListenAddress } from "../base/address.ts";
import type { Config } from "../config/schema.ts";
import { assertNobodyListens } from "../transport/listening-socket.ts";
import { cannotListen, numericHost } from "./sockets.ts";

export interface PreparedAdmin {
  commit(): void;
  abort(): void;
}

const NOTHING_TO_DO: PreparedAdmin = { commit() {}, abort() {} };

export class AdminControl {
  readonly #state: AdminState;
  #server: AdminServer | undefined;
  /** As written in the configuration; undefined while there is none. */
  #address: string | undefined;

  constructor(state: AdminState) {
    this.#state = state;
  }

  get port(): number | undefined {
    return this.#server?.port;
  }

  /**
   * Listens where `admin` says, beside the address of before; `commit` makes it the only one. Throws an EvenkeelError when
   * it cannot. `shared`: another evenkeel is there and about to leave.
   */
  prepare(admin: Config["admin"], shared: boolean): PreparedAdmin {
    const wanted = admin === false ? undefined : admin.address;
    if (wanted === this.#address) return NOTHING_TO_DO;
    const server = wanted === undefined ? undefined : this.#listen(wanted, shared);
    return {
      commit: () => {
        this.#server?.stop();
        this.#server = server;
        this.#address = wanted;
      },
      abort: () => server?.stop(),
    };
  }

  stop(): void {
    this.#server?.stop();
    this.#server = undefined;
    this.#address = undefined;
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
}
