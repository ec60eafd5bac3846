// Packages that not everybody has: loaded when they are needed, with an error that says which.

/** The module; `to` is what for. They are found beside hotbolt. */
export async function loadOptional<Module>(name: string, to: string): Promise<Module> {
  try {
    return (await import(name)) as Module
  } catch (cause) {
    const isMissing = (cause as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND'
    const reason = isMissing ? 'install it beside hotbolt' : String(cause)
    throw new Error(`The package ${name} is needed to ${to}: ${reason}`, { cause })
  }
}
