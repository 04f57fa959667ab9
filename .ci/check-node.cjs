'use strict'

// Plain CommonJS without newer syntax, so that a Node that is too old can run it.
const wanted = [22, 18]
const found = process.versions.node.split('.').map(Number)
const tooOld = found[0] < wanted[0] || (found[0] === wanted[0] && found[1] < wanted[1])

if (tooOld) {
  console.error(`jobchart needs Node ${wanted.join('.')} or newer. This script was started on Node ${process.versions.node}
  (${process.execPath}).

npm scripts run on the Node that \`npm ci\` installs into node_modules. It is not the one that runs:
  - run \`npm ci\`, and start the script through npm (\`npm test\`), not by hand;
  - if npm blocked or ignored install scripts, run \`npm rebuild node --ignore-scripts=false\`;
  - or put Node ${wanted.join('.')} or newer first on your PATH.`)
  process.exit(1)
}
