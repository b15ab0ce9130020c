using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ( name = "tests", worker = .worker ),
    ( name = "old", worker = .oldWorker ),
    # connect() and fetch() leave through the service named "internet"; the
    # default one refuses loopback addresses, and knows no TLS for sockets.
    ( name = "internet", network = (
        allow = ["public", "private", "local"],
        tlsOptions = ( trustedCertificates = [ embed "ca.pem" ] ) ) ),
  ],
);

const worker :Workerd.Worker = (
  modules = [ ( name = "worker.js", esModule = embed "worker.js" ) ],
  bindings = [ ( name = "HOST", fromEnvironment = "HOST" ) ],
  compatibilityDate = "2026-11-01",
);

const oldWorker :Workerd.Worker = (
  modules = [ ( name = "old.js", esModule = embed "old.js" ) ],
  bindings = [ ( name = "HOST", fromEnvironment = "HOST" ) ],
  compatibilityDate = "2023-05-01",
);
