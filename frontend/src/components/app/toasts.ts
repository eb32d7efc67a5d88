/** Short messages about what an action did. The one way to them: pages load no toast code until one is shown. */
import { describeError } from "@/lib/api/errors";

interface ToastOptions {
  description?: string | null;
  action?: { label: string; onClick: () => void };
}

/** For what went wrong or offers something to do: time to read it and to get there. */
const LONG_MS = 10_000;

/** For actions that failed: what went wrong, and what to do. Loads show an ErrorState in place instead. */
export function toastError(error: unknown): void {
  const { title, message, nextStep } = describeError(error);
  toastFailure(title, { description: nextStep ? `${message} ${nextStep}` : message });
}

/** For what failed elsewhere, such as a job. */
export function toastFailure(title: string, options: ToastOptions = {}): void {
  void import("sonner").then(({ toast }) => toast.error(title, { ...options, duration: LONG_MS }));
}

export function toastSuccess(title: string, options: ToastOptions = {}): void {
  void import("sonner").then(({ toast }) => toast.success(title, lasting(options)));
}

export function toastInfo(title: string, options: ToastOptions = {}): void {
  void import("sonner").then(({ toast }) => toast.info(title, lasting(options)));
}

function lasting(options: ToastOptions) {
  return options.action ? { ...options, duration: LONG_MS } : options;
}
