// Opens a page as a person would, and says what can be seen.
//
// Reads {page, browser, views: [{name, width, height, dark, shot}]} from stdin; `browser` is an
// executable, or null for the one that comes with the packages. Prints for each view what the page
// asked of any network, ran, said and shows, and in `blank` the fonts in which it shows nothing: if
// there is one, that is all. `shot` is a file for a picture of the page, or null.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const { page: path, browser: installed, views } = JSON.parse(readFileSync(0, "utf8"));
const plain = ["--no-sandbox", "--disable-gpu"];
let options = { executablePath: installed, args: plain, headless: true };
if (!installed) {
  const { default: chromium } = await import("@sparticuz/chromium");
  // Its own flags would let a page do what a reader's browser does not.
  const args = chromium.args.filter((flag) => !/web-security|insecure-content/.test(flag));
  options = { executablePath: await chromium.executablePath(), args, headless: "shell" };
}
const browser = await puppeteer.launch(options);

// Runs in the page: returns the fonts that it asks for and in which no letter is drawn. Two letters
// that differ are drawn as the same picture where there is no font, or one without letters.
function withoutLetters() {
  const canvas = new OffscreenCanvas(80, 80).getContext("2d", { willReadFrequently: true });
  const drawn = (font, letter) => {
    canvas.clearRect(0, 0, 80, 80);
    canvas.font = `48px ${font}`;
    canvas.fillText(letter, 10, 60);
    return canvas.getImageData(0, 0, 80, 80).data.join();
  };
  const shown = [...document.querySelectorAll("body, body *")];
  const fonts = shown.map((one) => getComputedStyle(one).fontFamily);
  return [...new Set(fonts)].filter((font) => {
    const pictures = [" ", "g", "W"].map((letter) => drawn(font, letter));
    return new Set(pictures).size < pictures.length;
  });
}

async function look({ name, width, height, dark, shot }) {
  const page = await browser.newPage();
  const requests = [];
  const said = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("dialog", (dialog) => {
    said.push(dialog.message());
    dialog.dismiss();
  });
  await page.setViewport({ width, height, isMobile: width < 600, hasTouch: width < 600 });
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: dark ? "dark" : "light" },
  ]);
  const url = pathToFileURL(path).href;
  await page.goto(url, { waitUntil: "load" });
  const blank = await page.evaluate(withoutLetters);
  if (blank.length) return { name, blank }; // whatever else there is to see would mean nothing
  if (shot) await page.screenshot({ path: shot });
  const points = [];
  for (const circle of await page.$$("svg circle")) {
    await circle.scrollIntoView();
    const { x, y, width: w, height: h } = await circle.boundingBox();
    points.push(
      await page.evaluate(
        (left, top) => {
          const hit = document.elementFromPoint(left, top);
          const title = hit?.closest("g")?.querySelector(":scope > title");
          return { hit: hit?.tagName, title: title?.textContent, fill: getComputedStyle(hit).fill };
        },
        x + w / 2,
        y + h / 2,
      ),
    );
  }
  await page.$$eval("details", (all) => all.forEach((one) => (one.open = true)));
  const seen = await page.evaluate(() => ({
    title: document.title,
    text: document.body.innerText,
    scripts: document.scripts.length,
    images: document.images.length,
    elements: [...new Set([...document.querySelectorAll("*")].map((one) => one.localName))],
    background: getComputedStyle(document.body).backgroundColor,
    colour: getComputedStyle(document.body).color,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  }));
  await page.close();
  return { name, blank, points, said, requests: requests.filter((one) => one !== url), ...seen };
}

const answers = [];
for (const view of views) answers.push(await look(view));
await browser.close();
console.log(JSON.stringify(answers));
