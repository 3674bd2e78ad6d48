# For projects that are built with node-gyp: list '<path to this package>/bindings.gyp:native' in the 'dependencies' of
# your binding.gyp, and bertune's addon is built with yours. npm and node-gyp do not read this file by themselves.
# CMakeLists.txt stays the only recipe; this target runs it, and does nothing when the addon is up to date.
{
  'targets': [{
    'target_name': 'native',
    'type': 'none',
    'actions': [{
      'action_name': 'build_native',
      'inputs': [
        'CMakeLists.txt',
        '<!@(node -p "require(\'fs\').readdirSync(\'native\', {recursive: true}).filter(name => /[.](cc|h)$/.test(name)).map(name => \'native/\' + name).join(\' \')")',
      ],
      'outputs': ['build/Release/bertune.node'],
      'action': ['npm', 'run', '--silent', 'build:native'],
    }],
  }],
}
