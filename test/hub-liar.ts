// A hub that lies at random, the short version: `npm run build && node test/fuzz/hub.mjs 20000` is the long one.
import t from 'tap';
import { fuzzHub } from './fuzz/hub.mjs';

t.test('random combinations of lies', async (test) => {
  const { finished, refused, faults } = await fuzzHub(150, Math.floor(Math.random() * 1e6));
  test.strictSame(faults, []);
  test.ok(finished > 10, `${finished} finished`);
  test.ok(refused > 10, `${refused} refused`);
});
