/**
 * Compiled scripts, of which those with the same shape share their code (shape.ts).
 *
 * The first text of a shape is compiled with its literals in place. The second one shows which literals differ: they become
 * parameters of the code, and further texts that differ in no others run at once. When yet another literal differs, it becomes
 * a parameter too.
 */
import { type CompileOptions, type CompiledChunk, compile } from "./compile.ts";
import type { ParsedChunk } from "./parser.ts";
import { shapeOf } from "./shape.ts";

export interface ScriptOptions {
  readonly chunkName: string;
  readonly environment: CompileOptions["environment"];
  /** Numbers of the literals that the host has looked at, so that texts in which they differ are no variants. */
  readonly fixed?: (chunk: ParsedChunk) => ReadonlySet<number>;
}

/** A text that can run. */
export class Script {
  constructor(
    readonly chunk: CompiledChunk,
    /** Values of the literals that are parameters. */
    private readonly literals: readonly (string | number)[],
  ) {}

  /** Runs it with values for the environment's parameters. */
  run(first?: unknown, second?: unknown): unknown {
    if (this.literals.length === 0) return this.chunk.run(first, second);
    return this.chunk.runWith(this.literals, first, second);
  }
}

interface Variant {
  chunk: CompiledChunk;
  /** Literals of the text that was compiled. */
  literals: readonly (string | number)[];
  /** Numbers of those that are parameters, in order. */
  parameters: readonly number[];
  fixed: ReadonlySet<number>;
}

/** Texts of one shape whose fixed literals differ. */
const VARIANTS_MAX = 8;

export class ScriptCompiler {
  /** By shape, the one used last at the end. */
  private readonly shapes = new Map<string, Variant[]>();

  constructor(
    private readonly options: ScriptOptions,
    private readonly shapesMax: number,
  ) {}

  /** The script of a text. Throws a LuaError with Lua's message when it is not Lua. */
  compile(text: string): Script {
    const shape = shapeOf(text);
    if (shape === null || shape.literals.length === 0) return new Script(this.compileWith(text, []).chunk, []);
    const variants = this.variantsOf(shape.text);
    for (const variant of variants) {
      const differing = this.differing(variant, shape.literals);
      if (differing === null) continue;
      if (!differing.every((literal) => variant.parameters.includes(literal))) {
        const parameters = [...new Set([...variant.parameters, ...differing])].sort((a, b) => a - b);
        Object.assign(variant, this.compileWith(text, parameters), { literals: shape.literals, parameters });
      }
      return new Script(
        variant.chunk,
        variant.parameters.map((literal) => shape.literals[literal]!),
      );
    }
    const made = this.compileWith(text, []);
    if (variants.length >= VARIANTS_MAX) variants.shift();
    variants.push({ ...made, literals: shape.literals, parameters: [] });
    return new Script(made.chunk, []);
  }

  /** Forgets all code. */
  clear(): void {
    this.shapes.clear();
  }

  private variantsOf(shape: string): Variant[] {
    const found = this.shapes.get(shape) ?? [];
    this.shapes.delete(shape);
    this.shapes.set(shape, found);
    if (this.shapes.size > this.shapesMax) this.shapes.delete(this.shapes.keys().next().value!);
    return found;
  }

  /** Numbers of the literals that differ from those of the compiled text; null when one of them is fixed. */
  private differing(variant: Variant, literals: readonly (string | number)[]): number[] | null {
    const differing: number[] = [];
    for (let at = 0; at < literals.length; at++) {
      if (Object.is(literals[at], variant.literals[at])) continue;
      if (variant.fixed.has(at)) return null;
      differing.push(at);
    }
    return differing;
  }

  private compileWith(
    text: string,
    parameters: readonly number[],
  ): { chunk: CompiledChunk; fixed: ReadonlySet<number> } {
    let fixed: ReadonlySet<number> = new Set();
    const { chunkName, environment } = this.options;
    const inspect = (chunk: ParsedChunk): void => {
      fixed = this.options.fixed?.(chunk) ?? fixed;
    };
    const chunk = compile(text, { chunkName, environment, inspect, variableLiterals: new Set(parameters) });
    return { chunk, fixed };
  }
}
