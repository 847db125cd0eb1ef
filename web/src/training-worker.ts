import "./strict-policy.ts";
import { choices } from "./choices.ts";
import { TrainingSession } from "./training-session.ts";
import { answerCalls, tellPage } from "./worker-calls.ts";

// This worker's name is the page's address, which its own files are relative to.
const session = new TrainingSession(self.name, tellPage);

const handlers = {
  choices,
  read: session.read.bind(session),
  chooseColumns: session.chooseColumns.bind(session),
  rowProblems: session.rowProblems.bind(session),
  chooseModel: session.chooseModel.bind(session),
  train: session.train.bind(session),
  leftRun: session.leftRun.bind(session),
  resumeRun: session.resumeRun.bind(session),
  forgetRun: session.forgetRun.bind(session),
  pause: session.pause.bind(session),
  resume: session.resume.bind(session),
  stop: session.stop.bind(session),
  ask: session.ask.bind(session),
  wrong: session.wrong.bind(session),
  take: session.take.bind(session),
};

export type TrainingHandlers = typeof handlers;

answerCalls(handlers);
