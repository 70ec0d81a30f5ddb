/** What scripts/build/bundle.ts uses of the package, so that types can be checked where it is not installed. */
declare module 'esbuild' {
  type Found = { readonly path: string; readonly namespace: string };
  type Filter = { readonly filter: RegExp; readonly namespace?: string };
  type Load = { readonly contents: string; readonly resolveDir: string };

  export type Plugin = {
    readonly name: string;
    setup(build: {
      onResolve(filter: Filter, find: (at: Found) => Partial<Found> | undefined): void;
      onLoad(filter: Filter, load: (at: Found) => Load): void;
    }): void;
  };

  type Built = {
    readonly metafile?: { readonly inputs: Readonly<Record<string, object>> };
    readonly outputFiles: readonly { readonly text: string }[];
  };

  export function build(options: Readonly<Record<string, unknown>>): Promise<Built>;
}
