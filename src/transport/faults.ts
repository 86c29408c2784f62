/**
 * What our own code throws while it handles a socket's event is a bug. The runtime hands it to that socket's error
 * handler, so it ends neither the process nor the connection; here it is told to whoever keeps the process's log,
 * and is an uncaught exception where nobody does.
 */
type FaultReport = (error: Error) => void;

let report: FaultReport = (error) =>
  queueMicrotask(() => {
    throw error;
  });

/** One for the whole process, as with uncaught exceptions: a bug is nobody's configuration. */
export function reportFaults(to: FaultReport): void {
  report = to;
}

/** Tells of `error` and says true, unless it is only how the system, or TLS, names what broke the connection. */
export function tellFault(error: Error): boolean {
  if ("errno" in error) return false;
  report(error);
  return true;
}
