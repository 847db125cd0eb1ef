/** Returns the result of `next`. If it fails, releases `compiled`: a process must not exit with live sessions. */
export async function releaseOnFailure<Made>(
  compiled: { release(): Promise<void> } | undefined,
  next: () => Promise<Made>,
): Promise<Made> {
  try {
    return await next();
  } catch (error) {
    await compiled?.release();
    throw error;
  }
}
