/** Someone who plays: moves right at every tick and keeps what the server says. */

export interface Player {
  /** What the server said last: its name, where the player is, and how many moves it has seen. */
  readonly last: { readonly arena: string; readonly x: number; readonly moves: number } | undefined;
  readonly sent: number;
  readonly received: number;
  move(): void;
  leave(): void;
}

export async function join(port: number): Promise<Player> {
  let last: Player["last"];
  let sent = 0;
  let received = 0;
  const socket = await Bun.udpSocket({
    connect: { hostname: "127.0.0.1", port },
    socket: {
      data(_socket, datagram) {
        const [arena, x, moves] = datagram.toString().split(" ") as [string, string, string];
        received++;
        last = { arena, x: Number(x), moves: Number(moves) };
      },
      error() {},
    },
  });
  return {
    get last() {
      return last;
    },
    get sent() {
      return sent;
    },
    get received() {
      return received;
    },
    move() {
      sent++;
      socket.send("1");
    },
    leave: () => socket.close(),
  };
}
