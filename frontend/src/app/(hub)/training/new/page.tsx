import { NewJob } from "@/features/training/components/new-job";

export const metadata = { title: "New training job" };

export default function TrainingNewPage() {
  return <NewJob />;
}
