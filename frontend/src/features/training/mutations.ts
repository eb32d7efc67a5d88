/** What one does with jobs. Dialogs and forms show their own errors; what is not said there comes as a toast. */
import { type QueryClient, useMutation, useQueryClient } from "@tanstack/react-query";
import { type Backend, backend, unwrap } from "@/lib/api/client";
import { keys } from "@/lib/api/query-keys";

type JobDetails = Backend<"TrainingJobDetails">;

const IN_PLACE = { tellsErrors: true };
const at = (id: string) => ({ path: { job_id: id } });

export function useCreateJob() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Backend<"TrainingCreate">) => unwrap(backend().POST("/api/v1/training", { body })),
    meta: IN_PLACE,
    onSuccess: (job) => keep(client, job),
  });
}

export function useCancelJob(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(backend().POST("/api/v1/training/{job_id}/cancel", { params: at(id) })),
    meta: IN_PLACE,
    onSuccess: (job) => keep(client, job),
  });
}

export function useResumeJob(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(backend().POST("/api/v1/training/{job_id}/resume", { params: at(id) })),
    onSuccess: (job) => keep(client, job),
  });
}

export function useRetryJob(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(backend().POST("/api/v1/training/{job_id}/retry", { params: at(id) })),
    meta: IN_PLACE,
    onSuccess: (job) => keep(client, job),
  });
}

export function useExtendJob(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Backend<"TrainingExtend">) =>
      unwrap(backend().POST("/api/v1/training/{job_id}/extend", { params: at(id), body })),
    meta: IN_PLACE,
    onSuccess: (job) => keep(client, job),
  });
}

export function useDeleteJob(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(backend().DELETE("/api/v1/training/{job_id}", { params: at(id) })),
    meta: IN_PLACE,
    // Its own page is still open, and would ask for what is gone.
    onSuccess: () => client.invalidateQueries({ queryKey: keys.training.lists }),
  });
}

function keep(client: QueryClient, job: JobDetails): void {
  client.setQueryData(keys.training.detail(job.id), job);
  void client.invalidateQueries({ queryKey: keys.training.lists });
}
