// Unpacks the browser that comes with the packages into TMPDIR, and prints its path.
import chromium from "@sparticuz/chromium";

console.log(await chromium.executablePath());
