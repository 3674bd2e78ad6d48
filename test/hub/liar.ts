// A hub that lies at random, the short version, of the same lies each time: `npm run build && node test/fuzz/hub.mjs 20000
// SEED` is the long one, which looks for what is not known yet.
import t from 'tap';
import { fuzzHub } from '../fuzz/hub.mjs';

t.test('random combinations of lies', async (test) => {
  const { finished, refused, faults } = await fuzzHub(150, 1);
  test.strictSame(faults, []);
  test.ok(finished > 10, `${finished} finished`);
  test.ok(refused > 10, `${refused} refused`);
});
