/**
 * A resolver that answers again and again, without end and without waiting for
 * anything. It must not keep the connection from being made, nor the process
 * from ending. If it does, nothing else runs any more, no timeout of a test
 * either: hence a process of its own.
 *
 *     deno run -A endless.ts <port of a server>
 *
 * @module
 */

import process from "node:process";

import { connect } from "../../mod.ts";

const connection = await connect({
  hostname: "example.test",
  port: Number(process.argv[2]),
  resolver: async function* () {
    for (;;) {
      yield { type: "AAAA", addresses: [] };
      yield { type: "A", addresses: ["127.0.0.1"] };
    }
  },
});
await connection.close();
console.log("connected");
