/**
 * The library `cjson`: lua-cjson 2.1.0 as Redis ships it. Encoding is in cjson-encode.ts, decoding in cjson-decode.ts.
 *
 * The settings of the module last for a run, unlike in Redis, where they last until the server ends. cjson.new() makes a module
 * with settings of its own.
 */
import { checkInt32, checkString } from "../arguments.ts";
import { badArgument, type Builtin, LuaTable, NULL_USERDATA } from "../value.ts";
import { decode } from "./cjson-decode.ts";
import { encode } from "./cjson-encode.ts";
import { CjsonSettings } from "./cjson-settings.ts";

const INT_MAX = 2 ** 31 - 1;
const SWITCH = ["off", "on"];

function checkCount(values: readonly unknown[], most: number): void {
  if (values.length > most) badArgument(most + 1, "found too many arguments");
}

type SettingName = keyof CjsonSettings;

/** Sets a setting of whole numbers when `value` is given. Returns it. */
function integerOption(
  settings: CjsonSettings,
  name: SettingName,
  n: number,
  value: unknown,
  min: number,
  max: number,
) {
  if (value !== undefined) {
    const number = checkInt32(value, n, n);
    if (number < min || number > max) badArgument(1, `expected integer between ${min} and ${max}`);
    settings[name] = number;
    settings.isChanged = 1;
  }
  return settings[name];
}

/** Sets a setting of one of `words`, or of a boolean, when `value` is given. Returns it: off and on as a boolean. */
function wordOption(settings: CjsonSettings, name: SettingName, value: unknown, words: readonly string[]): unknown {
  if (value !== undefined) settings.isChanged = 1;
  if (typeof value === "boolean") settings[name] = value ? 1 : 0;
  else if (value !== undefined) {
    const word = checkString(value, 1, 1);
    const zero = word.indexOf("\0"); // C compares up to there
    const shown = zero < 0 ? word : word.slice(0, zero);
    const at = words.indexOf(shown);
    if (at < 0) badArgument(1, `invalid option '${shown}'`);
    settings[name] = at;
  }
  const setting = settings[name];
  return setting <= 1 ? setting === 1 : words[setting];
}

function integerSetting(settings: CjsonSettings, name: string, field: SettingName, max: number): Builtin {
  const run = (...values: unknown[]): unknown => {
    checkCount(values, 1);
    return integerOption(settings, field, 1, values[0], 1, max);
  };
  return { name, run, single: true };
}

function wordSetting(settings: CjsonSettings, name: string, field: SettingName, words: readonly string[]): Builtin {
  const run = (...values: unknown[]): unknown => {
    checkCount(values, 1);
    return wordOption(settings, field, values[0], words);
  };
  return { name, run, single: true };
}

const PRECISION_MAX = 14;

/** The functions of a module with these settings. */
function functionsWith(settings: CjsonSettings): readonly Builtin[] {
  const sparse = (...values: unknown[]): unknown => {
    checkCount(values, 3);
    return [
      wordOption(settings, "sparseConvert", values[0], SWITCH),
      integerOption(settings, "sparseRatio", 2, values[1], 0, INT_MAX),
      integerOption(settings, "sparseSafe", 3, values[2], 0, INT_MAX),
    ];
  };
  const encodeValue = function (value?: unknown): string {
    if (arguments.length !== 1) badArgument(1, "expected 1 argument");
    return encode(settings, value);
  };
  const decodeText = function (text?: unknown): unknown {
    if (arguments.length !== 1) badArgument(1, "expected 1 argument");
    return decode(settings, typeof text === "string" ? text : checkString(text, 1, 1));
  };
  return [
    { name: "encode", run: encodeValue, single: true },
    { name: "decode", run: decodeText, single: true },
    { name: "encode_sparse_array", run: sparse, single: false },
    integerSetting(settings, "encode_max_depth", "encodeMaxDepth", INT_MAX),
    integerSetting(settings, "decode_max_depth", "decodeMaxDepth", INT_MAX),
    integerSetting(settings, "encode_number_precision", "numberPrecision", PRECISION_MAX),
    wordSetting(settings, "encode_keep_buffer", "keepBuffer", SWITCH),
    wordSetting(settings, "encode_invalid_numbers", "encodeInvalidNumbers", [...SWITCH, "null"]),
    wordSetting(settings, "decode_invalid_numbers", "decodeInvalidNumbers", SWITCH),
    { name: "new", run: newModule, single: true },
  ];
}

export const cjsonConstants: Readonly<Record<string, unknown>> = {
  null: NULL_USERDATA,
  _NAME: "cjson",
  _VERSION: "2.1.0",
};

/** cjson.new(): a table like the library, with settings of its own. */
function newModule(): LuaTable {
  const module = new LuaTable();
  for (const { name, run } of functionsWith(new CjsonSettings())) module.setStr(name, run);
  for (const [name, value] of Object.entries(cjsonConstants)) module.setStr(name, value);
  return module;
}

const shared = new CjsonSettings();

/** Puts the settings of the library back. Whoever starts a run calls it. */
export function resetCjson(): void {
  if (shared.isChanged !== 0) Object.assign(shared, new CjsonSettings());
}

export const cjsonLibrary: readonly Builtin[] = functionsWith(shared);
