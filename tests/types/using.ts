/**
 * `await using` on a connection, for users whose compiler has the library
 * `ESNext.Disposable`; compiled like `consumer.ts`, never run.
 *
 * @module
 */

import { connect } from "@stagger/happy-eyeballs";

await using connection = await connect({ hostname: "::1", port: 7 });
const disposable: AsyncDisposable = connection;
await disposable[Symbol.asyncDispose]();
