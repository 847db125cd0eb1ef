/**
 * Imports a package that users install only if they need it, from beside the program. Bundlers leave it out, because they cannot
 * know the name.
 */
export const importInstalled = <Module>(name: string): Promise<Module> =>
  import(/* webpackIgnore: true */ /* @vite-ignore */ name);
