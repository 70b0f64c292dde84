/** redis.register_function(): what the code of a library calls while it is loaded. */
import { numberText } from "../../lua/number.ts";
import { type Builtin, LuaError, type LuaFunction, LuaTable, raise } from "../../lua/value.ts";
import { errorTable } from "./lua-reader.ts";
import { flagsOf, isName, NAME_ERROR, NO_FLAGS, type ScriptFlags } from "./shebang.ts";

export interface Registered {
  readonly name: string;
  readonly description: string | null;
  readonly flags: ScriptFlags;
  readonly callback: LuaFunction;
}

const REGISTER = "redis.register_function";

export class Registration {
  registered: Registered[] = [];
  private isLoading = false;

  /** The code of a library begins. */
  begin(): void {
    this.isLoading = true;
    this.registered = [];
  }
  end(): void {
    this.isLoading = false;
  }

  /** A function of the library `redis` that is not there while a library is loaded. */
  afterLoad({ name, run }: Builtin): LuaFunction {
    return (...args: unknown[]) => {
      if (this.isLoading) raise(`Script attempted to access nonexistent global variable '${name}'`);
      return run(...args);
    };
  }

  readonly builtin: Builtin = {
    name: "register_function",
    single: false,
    run: (...args: unknown[]) => {
      // Afterwards Redis's library has no such function.
      if (!this.isLoading) raise("attempt to call field 'register_function' (a nil value)");
      const one = args.length === 1 ? named(args[0]) : positional(args);
      if (this.registered.some(({ name }) => name === one.name)) fail("Function already exists in the library");
      this.registered.push(one);
      return [];
    },
  };
}

function fail(text: string): never {
  throw new LuaError(errorTable(`ERR ${text}`));
}

/** register_function(name, callback) */
function positional(args: readonly unknown[]): Registered {
  if (args.length !== 2) fail(`wrong number of arguments to ${REGISTER}`);
  const [name, callback] = args;
  if (typeof name !== "string") fail(`first argument to ${REGISTER} must be a string`);
  if (typeof callback !== "function") fail(`second argument to ${REGISTER} must be a function`);
  return { name: checkedName(name), description: null, flags: NO_FLAGS, callback: callback as LuaFunction };
}

/** register_function{function_name = .., callback = .., description = .., flags = {..}} */
function named(table: unknown): Registered {
  if (!(table instanceof LuaTable)) {
    fail(`calling ${REGISTER} with a single argument is only applicable to Lua table (representing named arguments).`);
  }
  let name: string | null = null;
  let description: string | null = null;
  let callback: LuaFunction | null = null;
  let flags = NO_FLAGS;
  for (let at = table.after(-1); at >= 0; at = table.after(at)) {
    const key = table.keyAt(at);
    const value = table.valueAt(at);
    if (typeof key !== "string") fail(`named argument key given to ${REGISTER} is not a string`);
    switch (key) {
      case "function_name":
        name = textOf(key, value);
        break;
      case "description":
        description = textOf(key, value);
        break;
      case "callback":
        if (typeof value !== "function") fail(`callback argument given to ${REGISTER} must be a function`);
        callback = value as LuaFunction;
        break;
      case "flags":
        if (!(value instanceof LuaTable))
          fail(`flags argument to ${REGISTER} must be a table representing function flags`);
        flags = flagsOfTable(value);
        break;
      default:
        fail(`unknown argument given to ${REGISTER}`);
    }
  }
  if (name === null) fail(`${REGISTER} must get a function name argument`);
  if (callback === null) fail(`${REGISTER} must get a callback argument`);
  return { name: checkedName(name), description, flags, callback };
}

function textOf(key: string, value: unknown): string {
  if (typeof value === "number") return numberText(value);
  if (typeof value !== "string") fail(`${key} argument given to ${REGISTER} must be a string`);
  return value;
}

function flagsOfTable(table: LuaTable): ScriptFlags {
  const names: string[] = [];
  for (let i = 1; table.getInt(i) !== undefined; i++) {
    const name = table.getInt(i);
    if (typeof name !== "string") fail("unknown flag given");
    names.push(name);
  }
  return flagsOf(names) ?? fail("unknown flag given");
}

function checkedName(name: string): string {
  if (!isName(name)) fail(NAME_ERROR.slice("ERR ".length));
  return name;
}
