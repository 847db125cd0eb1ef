import { UserError } from "../../src/errors.ts";

const REASONS: Readonly<Record<string, string>> = {
  NotAllowedError: "this page may not use the camera; allow it in the browser, or choose photos",
  NotFoundError: "this device has no camera; choose photos",
  NotReadableError: "another program uses the camera; close it and try again",
};

export class Camera {
  readonly #canvas = document.createElement("canvas");

  private constructor(
    private readonly video: HTMLVideoElement,
    private readonly stream: MediaStream,
  ) {}

  static async open(video: HTMLVideoElement): Promise<Camera> {
    // Undefined if the page did not come over a secure connection.
    const devices = navigator.mediaDevices as MediaDevices | undefined;
    if (!devices) throw new UserError("a browser gives the camera to pages over HTTPS or from this device only");
    const size = { width: { ideal: 640 }, height: { ideal: 480 } };
    const stream = await devices.getUserMedia({ video: { ...size, facingMode: "environment" } }).catch((error) => {
      throw new UserError(REASONS[error.name] ?? `the camera cannot be used: ${error.message}`);
    });
    video.srcObject = stream;
    await video.play();
    video.hidden = false;
    return new Camera(video, stream);
  }

  async photo(): Promise<Blob> {
    const { videoWidth, videoHeight } = this.video;
    Object.assign(this.#canvas, { width: videoWidth, height: videoHeight });
    this.#canvas.getContext("2d")!.drawImage(this.video, 0, 0);
    const photo = await new Promise<Blob | null>((resolve) => this.#canvas.toBlob(resolve, "image/jpeg", 0.95));
    if (!photo) throw new UserError("the camera gives no picture; close it and open it again");
    return photo;
  }

  close(): void {
    for (const track of this.stream.getTracks()) track.stop();
    this.video.srcObject = null;
    this.video.hidden = true;
  }
}
