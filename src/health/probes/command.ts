import type { CommandCheck } from "../schema.ts";
import type { Probe } from "./definition.ts";

/** Runs a program; exit code 0 passes. It is told where the endpoint is and nothing else of the environment. */
export const commandProbe: Probe<CommandCheck> = async (target, config, { timers, path }) => {
  let child: Bun.Subprocess;
  try {
    child = Bun.spawn([...config.command], {
      env: { PATH: path, EVENKEEL_POOL: target.pool, EVENKEEL_HOST: target.host, EVENKEEL_PORT: String(target.port) },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
  } catch (error) {
    return `cannot run ${config.command[0]}: ${(error as Error).message}`;
  }
  let timedOut = false;
  const timer = timers.after(config.timeout, () => {
    timedOut = true;
    child.kill(9);
  });
  const code = await child.exited;
  timer.stop();
  if (timedOut) return `${config.command[0]} took too long`;
  return code === 0 ? undefined : `${config.command[0]} ended with ${code}`;
};
