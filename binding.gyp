# The addon. Sources are found by native/sources.mjs, so a new file needs no entry here.
{
  'targets': [
    {
      'target_name': 'hotbolt',
      'sources': ['<!@(node native/sources.mjs)'],
      'include_dirs': ['native'],
      'defines': ['NAPI_VERSION=9'],
      # Node's own defaults switch exceptions and RTTI off and pick an older language and -O3.
      'cflags!': ['-fno-exceptions', '-fno-rtti'],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++1y', '-std=c++17'],
      'configurations': {
        'Release': {'cflags!': ['-O3'], 'cflags': ['-O2']},
      },
      'conditions': [
        ['OS!="win"', {
          'cflags_cc': ['-std=c++20', '-fexceptions', '-frtti'],
          'cflags': [
            '-Wall', '-Wextra', '-fvisibility=hidden',
            '-fstack-protector-strong', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2',
          ],
        }],
        ['OS=="linux"', {
          # Never unloaded: our handler of SIGBUS stays installed when the last environment ends.
          # Templates of the standard library are our own copies, not those that node exports.
          'ldflags': [
            '-Wl,-z,relro,-z,now', '-Wl,-z,noexecstack', '-Wl,-z,nodelete', '-Wl,-Bsymbolic',
            '-pthread',
          ],
        }],
        ['OS=="mac"', {
          'xcode_settings': {
            'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
            'GCC_ENABLE_CPP_EXCEPTIONS': 'YES',
            'GCC_ENABLE_CPP_RTTI': 'YES',
            'GCC_OPTIMIZATION_LEVEL': '2',
            'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
            'MACOSX_DEPLOYMENT_TARGET': '11.0',
            'WARNING_CFLAGS': ['-Wall', '-Wextra'],
          },
        }],
        ['OS=="win"', {
          'msvs_settings': {
            'VCCLCompilerTool': {'ExceptionHandling': 1, 'AdditionalOptions': ['/std:c++20']},
          },
        }],
      ],
    },
  ],
}
