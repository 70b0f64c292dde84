/** browser.js is imported as text: `import script from "./browser.js" with { type: "text" }`. */
declare const text: string;
export default text;
