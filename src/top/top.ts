/** `ferrite top`: looks at a server again and again, and shows what happened between two looks. */
import type { Clock } from "../base/clock.ts";
import { type Choice, press } from "./keys.ts";
import { addressOf, Link, LinkFailed, type Target } from "./link.ts";
import { FIRST_SCREEN, type Frame, renderBlock, renderScreen } from "./render.ts";
import type { Sample } from "./sample.ts";
import { Terminal } from "./terminal.ts";
import { plainText } from "./text.ts";
import { type View, viewOf } from "./view.ts";

export interface TopOptions {
  readonly target: Target;
  readonly intervalSeconds: number;
  /** Blocks to print where there is no terminal; 0 = without end. */
  readonly blocks: number;
  readonly isColoured: boolean;
  readonly isUnicode: boolean;
}

/** Looks that the history keeps. */
const HISTORY = 120;
/** Least time of which rates are computed. */
const RATES_MS = 450;
/** Of each table in a block. */
const BLOCK_ROWS = 10;

/** The looks at one server. After a failure the next look connects again. */
class Looks {
  private link: Link | null = null;
  private before: Sample | null = null;
  readonly history: number[] = [];

  constructor(
    private readonly target: Target,
    private readonly clock: Clock,
  ) {}

  /** What happened since the look before; null after the first one. Throws LinkFailed. */
  async next(withClients: boolean): Promise<View | null> {
    try {
      this.link ??= await Link.open(this.target, this.clock);
      const now = await this.link.look(withClients);
      const { before } = this;
      // Counters of another run begin anew.
      if (before === null || before.info.get("run_id") !== now.info.get("run_id")) {
        this.before = now;
        return null;
      }
      const view = viewOf(before, now);
      // A look that comes early shows the rates of a longer time, because those of a short one jump.
      if (now.monotonicMs - before.monotonicMs < RATES_MS) return view;
      this.before = now;
      this.history.push(view.opsPerSecond);
      if (this.history.length > HISTORY) this.history.shift();
      return view;
    } catch (thrown) {
      this.close();
      this.before = null;
      throw thrown;
    }
  }

  close(): void {
    this.link?.close();
    this.link = null;
  }
}

/** Prints blocks. Throws LinkFailed. */
export async function printTop(options: TopOptions, clock: Clock, columns: number): Promise<void> {
  const { target, intervalSeconds, blocks } = options;
  const looks = new Looks(target, clock);
  try {
    await looks.next(false);
    for (let printed = 0; blocks === 0 || printed < blocks; printed++) {
      await Bun.sleep(intervalSeconds * 1000);
      const view = await looks.next(true);
      const frame = frameOf(options, looks, view, "");
      const lines = renderBlock(frame, columns, BLOCK_ROWS).map((line) => plainText(line).trimEnd());
      if (printed > 0) lines.unshift("");
      process.stdout.write(`${lines.join("\n")}\n`);
    }
  } finally {
    looks.close();
  }
}

/** Shows the picture until the user quits. Throws LinkFailed when the server cannot be reached at first. */
export async function showTop(options: TopOptions, clock: Clock): Promise<void> {
  const { target } = options;
  const looks = new Looks(target, clock);
  // Before the terminal changes, so that the reason stays on it.
  await looks.next(false);
  let choice: Choice = { screen: FIRST_SCREEN, intervalSeconds: options.intervalSeconds, isOver: false };
  let view: View | null = null;
  let problem = "";
  let wake = (): void => {};
  const draw = (): void => {
    const frame = frameOf({ ...options, intervalSeconds: choice.intervalSeconds }, looks, view, problem);
    terminal.draw(renderScreen(frame, choice.screen, terminal.size));
  };
  const change = (to: Choice): void => {
    const isSooner =
      to.isOver || to.intervalSeconds !== choice.intervalSeconds || to.screen.page !== choice.screen.page;
    choice = to;
    draw();
    if (isSooner) wake();
  };
  const terminal = new Terminal(
    options.isColoured,
    (key) => change(press(key, choice, view)),
    draw,
    () => change({ ...choice, isOver: true }),
  );
  terminal.open();
  try {
    draw();
    // The first rates soon, and then at the interval.
    let waitMs = Math.min(500, choice.intervalSeconds * 1000);
    while (!choice.isOver) {
      await Promise.race([Bun.sleep(waitMs), new Promise<void>((resolve) => (wake = resolve))]);
      if (choice.isOver) break;
      waitMs = choice.intervalSeconds * 1000;
      if (choice.screen.isPaused) continue;
      try {
        view = (await looks.next(CLIENT_PAGES.has(choice.screen.page))) ?? view;
        problem = "";
      } catch (thrown) {
        if (!(thrown instanceof LinkFailed)) throw thrown;
        problem = `${thrown.message}; trying again`;
      }
      draw();
    }
  } finally {
    terminal.close();
    looks.close();
  }
}

/** Pages that show clients. */
const CLIENT_PAGES: ReadonlySet<string> = new Set(["overview", "clients"]);

function frameOf(options: TopOptions, looks: Looks, view: View | null, problem: string): Frame {
  const { target, intervalSeconds, isUnicode } = options;
  return { address: addressOf(target), view, problem, intervalSeconds, history: looks.history, isUnicode };
}
