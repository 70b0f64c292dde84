/**
 * Words of a line as Redis splits them: separated by blanks, where quotes keep blanks and double quotes know escapes.
 *
 *   name="a b"c is refused: a closing quote ends its word
 *   name="a b" 'c\'d' "\x00\n"     three words: name=a b; c'd; a zero byte and a line end
 */

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };

const BLANK = /[ \t\n\v\f\r]/;

/** Splits a line. Null when a quote is open at its end, or no blank follows a closing one. */
export function splitQuotedWords(line: string): string[] | null {
  const words: string[] = [];
  for (let at = 0; ; ) {
    while (at < line.length && BLANK.test(line[at]!)) at++;
    if (at === line.length) return words;
    const found = readWord(line, at);
    if (found === null) return null;
    words.push(found.word);
    at = found.end;
  }
}

/** The word at `from`, and where it ends. Null when its quotes do not. */
function readWord(text: string, from: number): { word: string; end: number } | null {
  let word = "";
  let at = from;
  while (at < text.length && !BLANK.test(text[at]!)) {
    const quote = text[at]!;
    if (quote !== '"' && quote !== "'") {
      word += quote;
      at++;
      continue;
    }
    const quoted = readQuoted(text, at + 1, quote);
    if (quoted === null) return null;
    word += quoted.word;
    at = quoted.end;
    // Redis wants a blank behind a closing quote.
    if (at < text.length && !BLANK.test(text[at]!)) return null;
  }
  return { word, end: at };
}

function readQuoted(text: string, from: number, quote: string): { word: string; end: number } | null {
  let word = "";
  for (let at = from; at < text.length; at++) {
    const char = text[at]!;
    if (char === quote) return { word, end: at + 1 };
    const next = text[at + 1] ?? "";
    if (char !== "\\" || next === "" || (quote === "'" && next !== "'")) {
      word += char;
      continue;
    }
    const hex = quote === '"' ? /^x([0-9a-fA-F]{2})/.exec(text.slice(at + 1, at + 4)) : null;
    word += hex === null ? (ESCAPES[next] ?? next) : String.fromCharCode(Number.parseInt(hex[1]!, 16));
    at += hex === null ? 1 : 3;
  }
  return null;
}
