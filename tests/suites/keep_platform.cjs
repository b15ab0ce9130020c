// Stands at the top of the bundle that `node_files.ts` makes. What the package
// asks for itself has to stay Node's own, or it would be given its own sockets
// to race with. Settings that a test makes on a module are seen all the same.
require = ((load) => {
  const keep = (module) => {
    const { Socket, Stream, connect, createConnection } = module;
    const kept = { Socket, Stream, connect, createConnection };
    return new Proxy(module, {
      get: (target, name) =>
        Object.hasOwn(kept, name) ? kept[name] : Reflect.get(target, name),
    });
  };
  const modules = { net: keep(load("node:net")), tls: keep(load("node:tls")) };
  const choose = (otherwise) => (name) =>
    modules[name.replace("node:", "")] ?? otherwise(name);
  process.getBuiltinModule = choose(process.getBuiltinModule);
  return choose(load);
})(require);
