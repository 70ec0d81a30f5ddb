/** Returns a copy of an ELF64 file in which the C23 aliases of glibc 2.38 are bound to the functions every glibc has. */
export function relinkForOlderGlibc(input: Buffer): Buffer;
