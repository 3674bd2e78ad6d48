// Model files by someone who means harm: what each reader must refuse, and that it does so at once and in one line.
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  BertForSequenceClassification,
  BertTokenizer,
  parseBertConfig,
  UsageError,
} from '../../dist/index.js';
import { openAdapterFolder } from '../../dist/formats/peft.js';
import { writeSafetensors } from '../../dist/formats/safetensors.js';
import { openModelFolder } from '../../dist/formats/model-folder.js';
import { parseConfig } from '../../dist/models/config.js';
import { readBertConfig } from '../../dist/models/pretrained.js';
import { openSafetensors } from '../../dist/formats/safetensors.js';
import { readJson } from '../../dist/util/json.js';
import { verifyChecksums } from '../../dist/training/checkpoint.js';
import { readSavedState } from '../../dist/training/resume.js';
import { refuses } from '../fixtures/refuses.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const folder = t.testdir();

function written(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function safetensors(header: string, data = 0): Uint8Array {
  const json = Buffer.from(header);
  const bytes = Buffer.alloc(8 + json.length + data);
  bytes.writeBigUInt64LE(BigInt(json.length));
  json.copy(bytes, 8);
  return bytes;
}

t.test('JSON that costs more than it weighs', async (t) => {
  const deep = `${'['.repeat(129)}${']'.repeat(129)}`;
  await refuses(t, 'nested', /deeper than 128/, () => readJson(written('deep.json', deep)));
  t.same(
    await readJson(written('flat.json', `${'['.repeat(128)}${']'.repeat(128)}`)).then(() => 'read'),
    'read',
  );
  const wide = `[${'{},'.repeat(1_000_001)}{}]`;
  await refuses(t, 'many values', /more than 1000000 values/, () => readJson(written('wide.json', wide)));
  await refuses(t, 'large', /at most 33554432/, () =>
    readJson(written('large.json', ' '.repeat(33_554_433))),
  );
  const brackets = `"${'[{'.repeat(500)}\\"${'['.repeat(500)}"`;
  t.type(await readJson(written('text.json', brackets)), 'string', 'brackets in a text are none');
});

t.test('what is no file is not waited for', async (t) => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await refuses(t, 'a pipe', /not a regular file/, () => readJson(pipe));
  const device = join(folder, 'endless.json');
  symlinkSync('/dev/zero', device);
  await refuses(t, 'a device', /not a regular file/, () => readJson(device));
  await refuses(t, 'a folder', /is a folder/, () => readJson(folder));
  const model = join(folder, 'device-tokenizer');
  mkdirSync(model);
  symlinkSync('/dev/zero', join(model, 'tokenizer.json'));
  const checkpoint = join(folder, 'checkpoint-1');
  mkdirSync(checkpoint);
  symlinkSync('/dev/zero', join(checkpoint, 'weights'));
  const names = ['weights', 'model.safetensors', 'trainer_state.json'];
  writeFileSync(join(checkpoint, 'SHA256SUMS'), names.map((name) => `${'0'.repeat(64)}  ${name}\n`).join(''));
  await refuses(t, 'a checkpoint', /not a regular file/, () => verifyChecksums(checkpoint, 'load'));
  writeFileSync(join(checkpoint, 'SHA256SUMS'), `${'0'.repeat(64)}  model\0.safetensors\n`);
  await refuses(t, 'a name with NUL', /SHA256SUMS is damaged/, () => verifyChecksums(checkpoint, 'load'));
  await refuses(t, 'a tokenizer', /not a regular file/, () => BertTokenizer.fromPretrained(model));
});

t.test('messages hold nothing that a terminal obeys', async (t) => {
  await refuses(t, 'escape', /\\u001b/, () => readJson(written('escape.json', '{"a": \u001b[2J}')));
  t.equal(new UsageError('a\u001b[2Jb\u009bc\u202ed\ne').message, 'a\\u001b[2Jb\\u009bc\\u202ed\ne');
});

t.test('safetensors: a key twice, which readers take differently', async (t) => {
  const entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}';
  const twice = safetensors(`{"a":${entry},"a":${entry}}`);
  await refuses(t, 'tensor', /a key twice/, () => openSafetensors(written('twice.safetensors', twice)));
  const shape = safetensors('{"a":{"dtype":"F32","shape":[9],"shape":[0],"data_offsets":[0,0]}}');
  await refuses(t, 'shape', /a key twice/, () => openSafetensors(written('shape.safetensors', shape)));
});

t.test('config.json: labels by the billion, and code to run', async (t) => {
  const model = join(folder, 'config');
  mkdirSync(model);
  const config = { ...TOY_CONFIG, num_labels: 2_000_000_000 };
  writeFileSync(join(model, 'config.json'), JSON.stringify(config));
  await refuses(t, 'num_labels', /from 1 to 100000 for num_labels/, () => readBertConfig(model));
  const remote = {
    ...TOY_CONFIG,
    auto_map: { AutoModel: 'evil.Model' },
    custom_pipelines: { x: { impl: 'evil.X' } },
  };
  const { warnings, raw } = parseBertConfig(remote, 'config.json');
  t.match(
    warnings.join('\n'),
    /auto_map in config.json is ignored.*\n.*custom_pipelines in config.json is ignored/,
  );
  t.notOk('auto_map' in raw || 'custom_pipelines' in raw, 'neither is passed on');
  t.end();
});

t.test('pickle is never opened, and the message says how to convert', async (t) => {
  for (const name of ['pytorch_model.bin', 'pytorch_model.pt', 'model.pt']) {
    const model = join(folder, `pickled-${name}`);
    mkdirSync(model);
    writeFileSync(join(model, 'config.json'), JSON.stringify(TOY_CONFIG));
    execFileSync('mkfifo', [join(model, name)]); // whoever opens it waits for ever
    const pattern = new RegExp(`only as ${name}.*torch.load\\('${name}', weights_only=True\\)`);
    await refuses(t, name, pattern, () => openModelFolder(model, parseConfig));
  }
  const adapter = join(folder, 'pickled-adapter');
  mkdirSync(adapter);
  writeFileSync(join(adapter, 'adapter_config.json'), '{"peft_type":"LORA","r":1,"lora_alpha":1}');
  execFileSync('mkfifo', [join(adapter, 'adapter_model.bin')]);
  await refuses(t, 'adapter', /only as adapter_model.bin.*'adapter_model.safetensors'/, () =>
    openAdapterFolder(adapter),
  );
});

t.test('a tensor of an adapter under two spellings is refused, not read from the last', async (t) => {
  const adapter = join(folder, 'twice');
  mkdirSync(adapter);
  writeFileSync(join(adapter, 'adapter_config.json'), '{"peft_type":"LORA","r":1,"lora_alpha":1}');
  const name = 'bert.encoder.layer.0.attention.self.query.lora_A.weight';
  const tensors = [name, `base_model.model.${name}`].map((written) => {
    return { name: written, dtype: 'F32' as const, shape: [1], data: new Uint8Array(4) };
  });
  await writeSafetensors(join(adapter, 'adapter_model.safetensors'), tensors, tensors);
  await refuses(t, 'adapter', /query\.lora_A\.weight twice, with and without base_model\.model\./, () =>
    openAdapterFolder(adapter),
  );
});

t.test('a checkpoint resumes from whole and fitting numbers only', async (t) => {
  const good = {
    resume: {
      step: 3,
      updates: 3,
      totalLoss: 1,
      lossLogged: 1,
      stepLogged: 3,
      trainSeconds: 1,
      idleSeconds: 0,
      lrSchedulerType: 'linear',
      learningRate: null,
      pending: { shouldEvaluate: false, shouldSave: false },
      identity: {},
    },
    state: {
      best_global_step: null,
      best_metric: null,
      best_model_checkpoint: null,
      epoch: 1,
      eval_steps: 1,
      global_step: 3,
      is_hyper_param_search: false,
      is_local_process_zero: true,
      is_world_process_zero: true,
      log_history: [{ loss: 1 }],
      logging_steps: 1,
      max_steps: 9,
      num_input_tokens_seen: 1,
      num_train_epochs: 1,
      save_steps: 1,
      stateful_callbacks: {},
      total_flos: 0,
      train_batch_size: 1,
      trial_name: null,
      trial_params: null,
    },
  };
  const read = (resume: object, state: object): Promise<unknown> =>
    readSavedState({
      resume: written('r.json', JSON.stringify(resume)),
      state: written('s.json', JSON.stringify(state)),
    });
  t.same(await read(good.resume, good.state), good);
  await refuses(t, 'no identity', /identity/, () =>
    read({ ...good.resume, identity: undefined }, good.state),
  );
  await refuses(t, 'half a step', /step/, () => read({ ...good.resume, step: 2.5 }, good.state));
  await refuses(t, 'a step of text', /updates/, () => read({ ...good.resume, updates: '3' }, good.state));
  await refuses(t, 'no list of logs', /log_history/, () =>
    read(good.resume, { ...good.state, log_history: {} }),
  );
  await refuses(t, 'logs of texts', /log_history/, () =>
    read(good.resume, { ...good.state, log_history: [{ loss: 'x' }] }),
  );
  const proto: unknown = JSON.parse('[{"__proto__":"x"}]');
  await refuses(t, 'logs of texts under __proto__', /log_history/, () =>
    read(good.resume, { ...good.state, log_history: proto }),
  );
  t.ok(await read(good.resume, { ...good.state, log_history: [{ eval_matthews: null }] }), 'not defined');
  await refuses(t, 'another step', /of step 2/, () => read(good.resume, { ...good.state, global_step: 2 }));
  await refuses(t, 'a list', /r.json is damaged/, () => read([], good.state));
});

t.test('an index that leads out of the folder', async (t) => {
  const { model } = makeToy(join(folder, 'toy'), { train: 1, test: 1 });
  const index = (shard: string): void =>
    writeFileSync(join(model, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { a: shard } }));
  for (const shard of ['../a.safetensors', '/etc/a.safetensors', 'x/../../a.safetensors', 'a.bin', '..']) {
    index(shard);
    await refuses(t, shard, /expected a plain name/, () =>
      BertForSequenceClassification.fromPretrained(model),
    );
  }
});
