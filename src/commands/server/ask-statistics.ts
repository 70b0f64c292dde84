/** Asking the command statistics of all workers, for SLOWLOG, COMMANDLOG and LATENCY. */
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import type { StatisticsAnswer, StatisticsAsk } from "../../dispatch/command-statistics.ts";
import { Done, Later, type Outcome } from "../../dispatch/spec.ts";

/** `write` replies with one answer from each worker: at once where there is one worker, else when all have answered. */
export function askAll(
  call: Call,
  reply: Reply,
  ask: StatisticsAsk,
  write: (reply: Reply, answers: StatisticsAnswer[]) => void,
): Outcome {
  const { server, session, statistics } = call;
  if (server.askStatistics === undefined) {
    write(reply, [statistics.answer(ask)]);
    return Done;
  }
  server.askStatistics(ask, (answers) => server.resume(session, (later) => write(later, answers)));
  return Later;
}
