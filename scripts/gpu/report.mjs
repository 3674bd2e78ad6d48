// A part's result as lines for people.

/**
 * @typedef {{ kind: 'check', name: string, ok: boolean, detail: string }} Check
 * @typedef {{ kind: 'figure', name: string, value: number, unit: string, aim?: string }} Figure
 * @typedef {{ kind: 'note', text: string }} Note
 * @typedef {{ kind: 'skip', reason: string }} Skip
 * @typedef {Check | Figure | Note | Skip} Finding
 */

/** @param {import('./parts.mjs').Part} part */
export function describePart({ name, title, seconds }) {
  return `${name.padEnd(14)}${`${seconds} s`.padStart(5)}  ${title}`;
}

/** @param {import('./runner.mjs').PartResult} result */
export function rowLines({ name, title, result, seconds, limit, findings, reason }) {
  const checks = findings.flatMap((each) => (each.kind === 'check' ? [each] : []));
  const good = checks.filter(({ ok }) => ok).length;
  const head = `${result.padEnd(9)} ${name.padEnd(14)} ${seconds.toFixed(1).padStart(6)} of ${limit} s  ${title}`;
  const count = checks.length === 0 ? '' : `; ${good} of ${checks.length} checks`;
  return ['', head + count, ...findings.flatMap(findingLine), ...(reason === '' ? [] : [`    ${reason}`])];
}

/** @param {Finding} finding @returns {string[]} */
function findingLine(finding) {
  switch (finding.kind) {
    case 'check':
      return [
        `    ${finding.ok ? 'ok  ' : 'FAIL'} ${finding.name}${finding.detail === '' ? '' : `: ${finding.detail}`}`,
      ];
    case 'figure':
      return [
        `         ${finding.name}: ${shown(finding.value)} ${finding.unit}${finding.aim === undefined ? '' : ` (aim: ${finding.aim})`}`,
      ];
    case 'note':
      return [`         ${finding.text}`];
    default:
      return [`         left out: ${finding.reason}`];
  }
}

/** Three digits or more. @param {number} value */
export function shown(value) {
  return Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}
