/** Answers the messages of the page that this worker runs in, one answer each; what fails is an error of the worker. */
export function answerPage<Request, Answer>(handle: (request: Request) => Promise<Answer>): void {
  self.onmessage = ({ data }: MessageEvent<Request>) => {
    // A rejection would only reach the console.
    handle(data).then((answer) => self.postMessage(answer), reportError);
  };
}
