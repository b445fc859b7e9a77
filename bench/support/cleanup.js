/** Undoes what a run has set up, last things first, however the run ends. */
export class Cleanup {
  #steps = [];
  #running = null;
  /** Whether a signal asked for the end. */
  interrupted = false;

  add(step) {
    this.#steps.push(step);
  }

  /** Everything once, however often it is called; a step that fails is told and does not stop the others. */
  run() {
    this.#running ??= this.#undo();
    return this.#running;
  }

  /** Ctrl-C and kill end the run cleanly; a second one does not wait. */
  onSignals() {
    const onSignal = () => {
      if (this.interrupted) process.exit(130);
      this.interrupted = true;
      void this.run().then(() => process.exit(130));
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  }

  async #undo() {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        process.stderr.write(`clean-up: ${String(error)}\n`);
      }
    }
  }
}
