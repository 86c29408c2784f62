/** A game server: every player has a place in it, every datagram moves the player and is answered with where that is. */
const name = process.env["NAME"] ?? "arena";
const players = new Map<string, { x: number; moves: number }>();

await Bun.udpSocket({
  hostname: "127.0.0.1",
  port: Number(process.env["PORT"] ?? 7001),
  socket: {
    data(socket, datagram, port, address) {
      const text = datagram.toString();
      if (text === "ping") return void socket.send("pong", port, address);
      const player = players.get(`${address}:${port}`) ?? { x: 0, moves: 0 };
      players.set(`${address}:${port}`, player);
      player.x += Number(text) || 0;
      player.moves++;
      socket.send(`${name} ${player.x} ${player.moves}`, port, address);
    },
  },
});

export {};
